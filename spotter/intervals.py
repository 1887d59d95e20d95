"""How far a measured share can be trusted."""

import math


def wilson_interval(count: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson score interval of the share count / total (z = 1.96: 95 %).

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    share = count / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)

"""Labels of many scripts, written by people and made up."""

import random

WORDS = [
    "बिल्ली", "विद्यार्थी", "বিড়াল", "கரடி", "గుర్రం", "പൂച്ച", "หมีดำ", "ຊ້າງ", "ขนุน", "مَرْيَم", "خانه\u200cها", "חָתוּל",
    "café", "Jalapeño", "Tiếng Việt", "Å", "мишка", "гризли ё", "黒熊", "고양이", "Ωμέγα", "ქართული", "አንበሳ", "ខ្លា",
    "Steller’s jay", "Steller's jay", "Acer sp.", "C++", "C#", "A/B", "AC/DC", "M&M’s", "R&B", "50% off",
    "rock 'n' roll", "St. Bernard", "½ pint", "No. 5", "Why?", "Dr. No", "3:1", "incoming", "lost+found", "report.html",
    "naïve @home",
]  # fmt: skip
_ALPHABETS = [
    "कखगिीुूेैो्ंःािय\u200d\u200c", "বড়ালিী্ং", "கரடிஆ்", "หมีดำ้่ัิ", "مريمَُِّْ\u200c", "חתולָּוִ", "aeiounc\u0301\u0308\u0327\u0303",
    "熊猫犬木水", "abcXYZ019", "мишкаё", "고양이", "-_ ’'().,&+/:*?#%!",
]  # fmt: skip


def random_labels(seed: int, count: int) -> list[str]:
    """So many labels, each of one alphabet with some punctuation; among them the words above."""
    rng = random.Random(seed)
    made = []
    for _ in range(count - len(WORDS)):
        letters = rng.choice(_ALPHABETS[:-1])
        text = letters[0] + "".join(rng.choice(letters) for _ in range(rng.randint(0, 12)))
        for _ in range(rng.randint(0, 3)):
            place = rng.randint(1, len(text))
            text = text[:place] + rng.choice(_ALPHABETS[-1]) + text[place:]
        made.append(text)
    return [*WORDS, *made]

"""The country and language of a picture search."""

import re
from dataclasses import dataclass

from spotter.errors import RecipeError

# The markets of DuckDuckGo's search, as country-language; what its codes mean elsewhere stands behind an equals sign.
_MARKETS = (
    "ar-es at-de au-en be-fr be-nl bg-bg br-pt ca-en ca-fr ch-de ch-fr ch-it cl-es cn-zh co-es ct-ca=es-ca cz-cs de-de "
    "dk-da ee-et es-es fi-fi fr-fr gr-el hk-tzh=hk-zh hr-hr hu-hu id-en id-id ie-en il-he in-en it-it jp-jp=jp-ja "
    "kr-kr=kr-ko lt-lt lv-lv mx-es my-en my-ms nl-nl no-no nz-en pe-es ph-en ph-tl pl-pl pt-pt ro-ro ru-ru se-sv sg-en "
    "sk-sk sl-sl=si-sl th-th tr-tr tw-tzh=tw-zh ua-uk uk-en=gb-en us-en us-es ve-es vn-vi za-en"
)
_COUNTRY_CODES = (
    "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by "
    "bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk "
    "fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir "
    "is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk "
    "ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm "
    "pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf "
    "tg th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"
)
_COUNTRIES = frozenset(_COUNTRY_CODES.split())


def _read_markets() -> dict[tuple[str, str], str]:
    markets = {}
    for entry in _MARKETS.split():
        code, _, meant = entry.partition("=")
        country, _, language = (meant or code).partition("-")
        markets[country, language] = code
    return markets


_CODES = _read_markets()


@dataclass(frozen=True)
class Region:
    """A country (ISO 3166) and a language (ISO 639-1), both in lower case."""

    country: str
    language: str

    def __str__(self) -> str:
        return f"{self.language}-{self.country.upper()}"

    @property
    def market(self) -> str:
        """What DuckDuckGo calls it."""
        return _CODES.get((self.country, self.language), f"{self.country}-{self.language}")


def read_region(text: str) -> Region:
    """Read a region: language and country as systems write them ("de-CH"), or as DuckDuckGo does ("ch-de").

    Raises:
        RecipeError: it is neither.
    """
    found = re.fullmatch(r"([a-z]{2,3})[-_]([a-z]{2,3})", text.strip().lower())
    if found:
        first, second = found.groups()
        meant = {code: pair for pair, code in _CODES.items()}.get(f"{first}-{second}")
        for country, language in (*([meant] if meant else []), (first, second), (second, first)):
            if (country, language) in _CODES:
                return Region(country, language)
        second = "gb" if second == "uk" else second
        if second in _COUNTRIES and len(first) == 2:
            return Region(second, first)
        if first in _COUNTRIES and len(second) == 2:
            return Region(first, second)
    raise RecipeError(f"{text!r} is no region: write a language and a country, such as de-CH, en-GB or ja-JP.")

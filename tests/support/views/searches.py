"""Names of many scripts, with questions and right answers by the rules of Unicode.

Words are those of UAX #29 with its default rules: letters of one word stay together with their vowel
signs and marks; an ideograph, a Hiragana letter and a letter of Thai or Khmer is a word of its own.
A question finds a name that has each of its words, or a word that begins with it. Case, accents,
points, tones and the width of letters do not count; what is shown as nothing (default-ignorable
code points) is not there.
"""

import unicodedata
from typing import Final

from msgspec import Struct

ZWNJ, ZWJ = "\u200c", "\u200d"


class Case(Struct, frozen=True):
    """A name, questions that find it, and questions that do not."""

    name: str
    finds: tuple[str, ...]
    misses: tuple[str, ...] = ()


def _jamo(text: str) -> str:
    """Hangul syllables as conjoining jamo."""
    return unicodedata.normalize("NFD", text)


SCRIPTS: Final[dict[str, tuple[Case, ...]]] = {
    "Latin": (
        Case("Zoë Ångström", ("zoe", "ZOË", "angstrom", "A\u030angs", "zoe ang"), ("oe", "strom")),
        Case("Seán O’Brien", ("o'brien", "O’Brien", "o’b", "brien", "sean"), ("rien",)),
        Case("Straße Ⅻ ﬁn", ("strasse", "STRASSE", "xii", "fin"), ("trasse",)),
        Case("Nguyễn Văn An", ("nguyen", "Nguyễn", "van an", "nguye"), ("guyen",)),
        Case("Ｊａｎｅ Ｄｏｅ", ("jane", "ｄｏｅ", "JANE DOE"), ("ane",)),
        Case("Anna-Lena", ("anna", "lena", "anna-lena"), ("nna",)),
        Case("John_Doe", ("john_doe", "john", "doe"), ("ohn",)),
        Case("İpek", ("ipek", "İPEK", "i̇p"), ("pek",)),
    ),
    "Greek": (
        Case("Ὀδυσσεύς Παπαδόπουλος", ("οδυσσευσ", "ΟΔΥΣΣΕΎΣ", "παπαδο", "Παπαδό"), ("δοπουλος",)),
        Case("ᾼδης", ("αιδης", "ᾼ"), ("δης",)),
    ),
    "Cyrillic": (
        Case("Алёна Ковалёва", ("алена", "АЛЁНА", "ковалева", "ков"), ("валева",)),
        Case("Ўладзімір", ("уладзимир".replace("и", "і"), "Ўлад"), ("ладз",)),
    ),
    "Armenian": (Case("Արամ Խաչատրյան", ("արամ", "ԱՐԱՄ", "խաչ"), ("րամ",)),),
    "Georgian": (Case("ნინო ბერიძე", ("ნინო", "ᲜᲘᲜᲝ", "ბერ"), ("იძე",)),),
    "Arabic": (
        Case("مُحَمَّد عَلي", ("محمد", "مُحَمَّد", "علي", "مح"), ("حمد",)),
        Case(f"رضا{ZWNJ}زاده", ("رضازاده", f"رضا{ZWNJ}زاده", "رضا"), ("زاده",)),
        Case("ﻣﺤﻤﻮﺩ", ("محمود", "محم"), ("حمود",)),
    ),
    "Hebrew": (
        Case("שָׁלוֹם כֹּהֵן", ("שלום", "כהן", "שָׁלוֹם"), ("לום",)),
        Case("קוב״ץ", ("קוב״ץ", "קוב"), ("וב",)),
    ),
    "Devanagari": (
        Case("मीना कुमारी", ("मीना", "मी", "कुमारी", "मीना कु"), ("मा", "ना", "मोनू")),
        Case("मोनू", ("मोनू", "मो"), ("मीना", "नू")),
        Case(f"क्{ZWJ}षमा", ("क्षमा", f"क्{ZWJ}ष", "क्ष"), ("षमा",)),
        Case("ज़ाकिर", ("ज़ाकिर", "जाकिर", "\u091c\u093cाकिर"), ("किर",)),
    ),
    "Bengali": (Case("রবীন্দ্রনাথ", ("রবীন্দ্রনাথ", "রবী"), ("রবু", "নাথ", "বীন্দ্র")),),
    "Tamil": (Case("முருகன் செல்வி", ("முருகன்", "செல்", "முரு"), ("முரா", "ருகன்")),),
    "Sinhala": (Case(f"ක්{ZWJ}රිෂ්ණ", (f"ක්{ZWJ}රිෂ්ණ", "ක්රිෂ්ණ", "ක්රි"), ("රිෂ්ණ",)),),
    "Thai": (Case("สุดา มาลี", ("สุดา", "มาลี", "สุ", "สุดา มา"), ("กมล", "ดี")),),
    "Khmer": (Case("សុខា", ("សុខា", "សុ"), ("សិ", "កា")),),
    "Han": (
        Case(
            "葛\U000e0100城 市子",
            ("葛城", "葛\U000e0100城", "市子", "葛", "城", "葛城市子"),
            ("葛木",),
        ),
        Case("李小龍", ("李", "小龍", "李小龍"), ("李大",)),
        Case("辻\ufe00", ("辻", "辻\ufe00"), ("込",)),
    ),
    "Japanese": (
        Case("さくら タナカ", ("さくら", "タナカ", "ﾀﾅｶ", "タナ", "さ"), ("ナカ", "すもも")),
        Case("ガンダム", ("ガン", "ｶﾞﾝ", "ガンダム"), ("ンダム",)),
    ),
    "Hangul": (
        Case(
            "김철수", ("김철수", "김", _jamo("김철"), _jamo("김"), "기", "\u1100"), ("철수", "박")
        ),
        Case(_jamo("박영희"), ("박영희", "박", _jamo("박영희")), ("영희", "김")),
        Case("ㄱ", ("ㄱ", "\u1100"), ("ㄴ",)),
    ),
    "Ethiopic": (Case("አበበ ቢቂላ", ("አበበ", "ቢቂላ", "አበ"), ("በበ",)),),
    "Numbers": (
        Case("Team 3.14 1,000", ("3.14", "3", "14", "1,000", "1.000", "team"), ("4", "7", "2.14")),
    ),
    "Invisible": (
        Case("Jo\u00ad\ufe0fhn\u034f", ("john", "jo\u2060hn", "j\u200bohn"), ("hn",)),
        Case("김\u3164", ("김", "김\u3164"), ("\u3164",)),
    ),
}

WITHOUT_A_WORD: Final = ("", " ", "-", "'", "…", "☺", "\u3164", "\u200d", "_", "😀🎉", "\u0301")

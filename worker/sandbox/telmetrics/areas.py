"""The area codes of the United States and Canada, and which of them are local to a city."""

TOLL_FREE = ("833", "844", "855", "866", "877", "888", "800")

# Area codes that overlay one another stand together: a number in one of them is local to a number in any. An overlay
# of several areas stands with one of them.
_AREAS = {
    "AB": "403/587/825 780/368",
    "AK": "907",
    "AL": "205/659 251 256/938 334",
    "AR": "479 501 870/327",
    "AZ": "480/602/623 520 928",
    "BC": "604/236/672/778 250",
    "CA": "209/350 213/323/738 310/424 408/669 415/628 442/760 510/341 530 559 562 619/858 626 650 657/714 661 "
    "707/369 747/818 805/820 831 840/909 916/279 925 949 951",
    "CO": "303/720/983 719 970",
    "CT": "203/475 860/959",
    "DC": "202/771",
    "DE": "302",
    "FL": "239 305/645/786 352 386 407/321/689 561/728 727 754/954 772 813/656 850/448 863 904/324 941",
    "GA": "229 404/470/678/770/943 478 706/762 912",
    "HI": "808",
    "IA": "319 515 563 641 712",
    "ID": "208/986",
    "IL": "217/447 309 312/773/872 331/630 464/708 618/730 779/815 847/224",
    "IN": "219 260 317/463 574 765 812/930",
    "KS": "316 620 785 913",
    "KY": "270/364 502 606 859",
    "LA": "225 318 337 504 985",
    "MA": "339/781 351/978 413 508/774 617/857",
    "MB": "204/431/584",
    "MD": "227/240/301 410/443/667",
    "ME": "207",
    "MI": "231 248/947 269 313 517 586 616 734 810 906 989",
    "MN": "218 320 507 612 651 763 952",
    "MO": "314/557 417 573/235 636 660 816/975",
    "MS": "228 601/769 662",
    "MT": "406",
    "NB": "506/428",
    "NC": "252 336/743 704/980 828 910/472 919/984",
    "ND": "701",
    "NE": "308 402/531",
    "NH": "603",
    "NJ": "201/551 609/640 732/848 856 862/973 908",
    "NL": "709/879",
    "NM": "505 575",
    "NS": "902/782",
    "NV": "702/725 775",
    "NY": "212/332/646 315/680 347/718/917/929 363/516 518/838 585 607 631/934 716 845/329 914",
    "OH": "216 220/740 234/330 283/513 326/937 380/614 419/567 440",
    "OK": "405/572 539/918 580",
    "ON": "226/519/548 249/705 343/613/753 416/437/647 807 905/289/365/742",
    "OR": "458/541 503/971",
    "PA": "215/267/445 223/717 272/570 412/724/878 484/610/835 582/814",
    "QC": "263/438/514 354/450/579 367/418/581 468/819/873",
    "RI": "401",
    "SC": "803/839 843/854 864/821",
    "SD": "605",
    "SK": "306/474/639",
    "TN": "423 615/629 731 865 901 931",
    "TX": "210/726 214/469/945/972 254 281/346/713/832 325 361 409 430/903 432 512/737 "
    "682/817 806 830 915 936 940 956 979",
    "UT": "385/801 435",
    "VA": "276 434 540/826 571/703 686/804 757/948",
    "VT": "802",
    "WA": "206 253 360/564 425 509",
    "WI": "262 414 534/715 608/353 920/274",
    "WV": "304/681",
    "WY": "307",
}

# City and state to the area codes of its local calling area, the city's own first.
_CITIES = {
    "atlanta GA": "404",
    "austin TX": "512",
    "boston MA": "617",
    "brampton ON": "905",
    "calgary AB": "403",
    "charlotte NC": "704",
    "chicago IL": "312",
    "dallas TX": "214",
    "denver CO": "303",
    "detroit MI": "313",
    "edmonton AB": "780",
    "halifax NS": "902",
    "hamilton ON": "905",
    "houston TX": "713",
    "las vegas NV": "702",
    "los angeles CA": "213 310 747",
    "miami FL": "305",
    "minneapolis MN": "612",
    "mississauga ON": "905",
    "montreal QC": "514 450",
    "nashville TN": "615",
    "new york NY": "212 718",
    "orlando FL": "407",
    "ottawa ON": "613",
    "philadelphia PA": "215",
    "phoenix AZ": "602",
    "portland OR": "503",
    "quebec QC": "418",
    "san diego CA": "619",
    "san francisco CA": "415",
    "seattle WA": "206",
    "toronto ON": "416 905",
    "vancouver BC": "604",
    "washington DC": "202",
    "winnipeg MB": "204",
}

_LOCAL = {
    code: (code, *(other for other in complex_.split("/") if other != code))
    for areas in _AREAS.values()
    for complex_ in areas.split()
    for code in complex_.split("/")
}

AREA_CODES = frozenset(_LOCAL)


def local_to_number(number: str) -> tuple[str, ...]:
    """The area codes in which a number is local to this one of 10 digits, its own first; none when it has no area."""
    return _LOCAL.get(number[:3], ())


def local_to_city(city: str, state: str) -> tuple[str, ...]:
    """The area codes in which a number is local to a city; none for one that maps to no local calling area."""
    codes = _CITIES.get(f"{' '.join(city.split()).lower()} {state.upper()}", "")
    return tuple(local for code in codes.split() for local in _LOCAL[code])

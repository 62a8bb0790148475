"""Where people say a place is, on the map of time zones."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from difflib import get_close_matches
from zoneinfo import ZoneInfo

_ZONES = """
America/New_York: new york, new york city, nyc, manhattan, brooklyn, boston, washington, washington dc, dc,
 philadelphia, miami, orlando, tampa, jacksonville, atlanta, detroit, pittsburgh, baltimore, charlotte, cleveland,
 cincinnati, columbus, hartford, bangor, buffalo, florida, georgia, michigan, ohio, virginia, north carolina, south
 carolina, pennsylvania, massachusetts, maine, vermont, new jersey, connecticut, new hampshire, rhode island,
 maryland, delaware, kentucky, indiana, west virginia, eastern, eastern standard, est, edt, east coast, us, usa,
 united states, america, indianapolis, richmond, savannah, louisville
America/Chicago: chicago, houston, dallas, austin, san antonio, new orleans, baton rouge, memphis, nashville,
 minneapolis, milwaukee, st louis, saint louis, kansas city, oklahoma city, omaha, texas, illinois, louisiana,
 minnesota, wisconsin, tennessee, alabama, mississippi, arkansas, iowa, missouri, oklahoma, kansas, nebraska, south
 dakota, north dakota, central, central standard, cst, cdt, fort worth, tulsa, birmingham alabama
America/Denver: denver, salt lake city, boise, albuquerque, colorado, utah, new mexico, wyoming, montana, idaho,
 mountain, mountain standard, mst, mdt, el paso, santa fe
America/Phoenix: phoenix, arizona, tucson, sedona, scottsdale
America/Los_Angeles: los angeles, la, hollywood, san francisco, san diego, san jose, sacramento, oakland, fresno,
 modesto, seattle, portland, las vegas, vegas, reno, california, southern california, oregon, nevada, washington
 state, pacific, pacific standard, pacific coast, west coast, pst, pdt
America/Anchorage: anchorage, alaska, alaska standard, juneau, fairbanks
Pacific/Honolulu: honolulu, hawaii, hst, maui, hawaiian
America/Toronto: toronto, ottawa, montreal, quebec, ontario, canada
America/Vancouver: vancouver, british columbia, victoria
America/Edmonton: calgary, edmonton, alberta
America/Winnipeg: winnipeg, manitoba
America/Halifax: halifax, nova scotia, atlantic, atlantic standard, ast
America/St_Johns: newfoundland, st johns
America/Mexico_City: mexico city, mexico, guadalajara, monterrey
America/Cancun: cancun
America/Havana: havana, cuba
America/Jamaica: jamaica, kingston
America/Puerto_Rico: puerto rico, san juan
America/Santo_Domingo: dominican republic, santo domingo
America/Panama: panama
America/Costa_Rica: costa rica
America/Guatemala: guatemala
America/Bogota: bogota, colombia, medellin
America/Lima: lima, peru, peruvian
America/Guayaquil: quito, ecuador
America/Caracas: caracas, venezuela
America/La_Paz: bolivia, la paz
America/Santiago: santiago, chile
America/Argentina/Buenos_Aires: buenos aires, argentina
America/Montevideo: uruguay, montevideo
America/Asuncion: paraguay
America/Sao_Paulo: sao paulo, rio, rio de janeiro, brazil, brasilia, salvador
Atlantic/Reykjavik: iceland, reykjavik
Europe/London: london, england, uk, united kingdom, britain, great britain, scotland, wales, edinburgh, glasgow,
 manchester, liverpool, birmingham, bristol, leeds, cardiff, belfast, northern ireland, bst, british
Europe/Dublin: dublin, ireland, cork
Europe/Lisbon: lisbon, portugal, porto
Europe/Paris: paris, france, french, lyon, marseille, nice
Europe/Berlin: berlin, germany, german, munich, hamburg, frankfurt, cologne, cet, central european
Europe/Madrid: madrid, spain, barcelona, seville, valencia, ourense
Europe/Rome: rome, italy, milan, venice, naples, florence, turin
Europe/Amsterdam: amsterdam, holland, netherlands, rotterdam
Europe/Brussels: brussels, belgium
Europe/Luxembourg: luxembourg
Europe/Zurich: zurich, geneva, switzerland, bern
Europe/Vienna: vienna, austria
Europe/Prague: prague, czech republic, czechia
Europe/Budapest: budapest, hungary
Europe/Warsaw: warsaw, poland, krakow
Europe/Copenhagen: copenhagen, denmark
Europe/Stockholm: stockholm, sweden
Europe/Oslo: oslo, norway
Europe/Helsinki: helsinki, finland
Europe/Athens: athens, greece
Europe/Belgrade: belgrade, serbia
Europe/Zagreb: croatia, zagreb
Europe/Bucharest: romania, bucharest
Europe/Sofia: bulgaria, sofia
Europe/Istanbul: istanbul, turkey, ankara
Europe/Kyiv: kiev, kyiv, ukraine
Europe/Moscow: moscow, russia, saint petersburg, st petersburg
Asia/Jerusalem: jerusalem, israel, tel aviv
Asia/Beirut: lebanon, beirut
Asia/Baghdad: baghdad, iraq
Asia/Tehran: tehran, iran
Asia/Riyadh: riyadh, saudi arabia
Asia/Qatar: qatar, doha
Asia/Kuwait: kuwait
Asia/Dubai: dubai, abu dhabi, emirates, united arab emirates, uae
Asia/Kabul: kabul, afghanistan
Asia/Karachi: karachi, pakistan, lahore, islamabad
Asia/Kolkata: india, delhi, new delhi, mumbai, bombay, bangalore, calcutta, kolkata, chennai, hyderabad, ist, indian
Asia/Kathmandu: kathmandu, nepal
Asia/Dhaka: dhaka, bangladesh
Asia/Colombo: sri lanka, colombo
Asia/Yangon: myanmar, burma, yangon
Asia/Bangkok: bangkok, thailand
Asia/Ho_Chi_Minh: vietnam, viet nam, hanoi, saigon, ho chi minh, ho chi minh city
Asia/Phnom_Penh: cambodia, phnom penh
Asia/Kuala_Lumpur: kuala lumpur, malaysia
Asia/Singapore: singapore
Asia/Jakarta: jakarta, indonesia
Asia/Makassar: bali
Asia/Manila: manila, philippines
Asia/Hong_Kong: hong kong
Asia/Taipei: taipei, taiwan
Asia/Shanghai: china, beijing, shanghai, shenzhen, chinese
Asia/Seoul: seoul, korea, south korea
Asia/Pyongyang: north korea, pyongyang
Asia/Tokyo: tokyo, japan, osaka, kyoto, japanese
Asia/Ulaanbaatar: mongolia
Asia/Tashkent: uzbekistan
Asia/Almaty: kazakhstan
Africa/Cairo: cairo, egypt
Africa/Casablanca: casablanca, morocco
Africa/Algiers: algeria
Africa/Tunis: tunisia
Africa/Lagos: lagos, nigeria
Africa/Accra: ghana, accra
Africa/Dakar: senegal
Africa/Nairobi: nairobi, kenya
Africa/Addis_Ababa: ethiopia, addis ababa
Africa/Kampala: uganda
Africa/Johannesburg: johannesburg, cape town, south africa
Australia/Sydney: sydney, canberra, australia, new south wales
Australia/Melbourne: melbourne
Australia/Brisbane: brisbane, queensland
Australia/Adelaide: adelaide
Australia/Darwin: darwin
Australia/Perth: perth
Pacific/Auckland: auckland, new zealand, wellington
Pacific/Fiji: fiji
UTC: utc, gmt, greenwich, greenwich mean, zulu, universal
"""
_NAMES = {"EST": ("Eastern", -5), "EDT": ("Eastern", -4), "CST": ("Central", -6), "CDT": ("Central", -5),
          "MST": ("Mountain", -7), "MDT": ("Mountain", -6), "PST": ("Pacific", -8), "PDT": ("Pacific", -7),
          "GMT": ("Greenwich Mean", 0), "BST": ("British Summer", 1), "IST": ("Indian", 5.5), "JST": ("Japan", 9),
          "CET": ("Central European", 1), "CEST": ("Central European", 2), "UTC": ("Universal", 0)}  # fmt: skip
"""With the hours from UTC: Manila has a PST of its own, Shanghai a CST, Dublin and Jerusalem an IST."""


def _read_zones() -> dict[str, str]:
    places: dict[str, str] = {}
    for entry in _ZONES.strip().replace("\n ", " ").splitlines():
        zone, names = entry.split(":", 1)
        places |= {name.strip(): zone for name in names.split(",")}
    return places


PLACES = _read_zones()
_EDGES = re.compile(
    r"^(?:the|in|city of|state of|for|over in|downtown) | (?:time|time ?zone|standard|right now|now|please|city)$"
)


def find_zone(place: str, close: bool = True) -> tuple[str, ZoneInfo] | None:
    """The place's name as found, and its zone; "houston, tx" is understood, and with `close` small misspellings."""
    plain = " ".join(place.lower().strip(" .?!").replace("'s", "").replace("-", " ").split())
    previous = ""
    while previous != plain:
        if plain in PLACES:
            return plain, ZoneInfo(PLACES[plain])
        previous, plain = plain, _EDGES.sub("", plain).strip()
    parts = [part.strip() for part in plain.split(",")]
    for part in parts if len(parts) > 1 else ():
        if part in PLACES:
            return part, ZoneInfo(PLACES[part])
    if not close:
        return None
    alike = get_close_matches(plain, [known for known in PLACES if len(known) > 4], n=1, cutoff=0.84)
    return (alike[0], ZoneInfo(PLACES[alike[0]])) if alike else None


def zone_name(there: datetime) -> str:
    """Words for the zone of an aware time, if people name it; "" for one that only has an offset."""
    name, hours = _NAMES.get(there.strftime("%Z"), ("", 0))
    return f"{name} Time" if name and there.utcoffset() == timedelta(hours=hours) else ""

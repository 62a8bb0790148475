"""Units of everyday conversions and the arithmetic between them, under all the names that people use."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Unit:
    """`factor` base units of its dimension; temperatures also have an `offset` (base = value * factor + offset)."""

    singular: str
    plural: str
    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


_TABLE = """
length meter meters 1 metre metres m
length millimeter millimeters 0.001 millimetre millimetres mm mil mils
length centimeter centimeters 0.01 centimetre centimetres cm centi cms
length decimeter decimeters 0.1 decimetre decimetres dm
length kilometer kilometers 1000 kilometre kilometres km kms klick klicks
length inch inches 0.0254 in
length foot feet 0.3048 ft foots
length yard yards 0.9144 yd yds
length mile miles 1609.344 mi
length nautical_mile nautical_miles 1852
length light_year light_years 9460730472580800
mass gram grams 0.001 g gramme grammes
mass milligram milligrams 0.000001 mg
mass kilogram kilograms 1 kg kilo kilos kgs
mass ton tons 907.18474 short_ton
mass tonne tonnes 1000 metric_ton metric_tons
mass pound pounds 0.45359237 lb lbs
mass ounce ounces 0.028349523125 oz
mass stone stones 6.35029318
volume liter liters 1 litre litres l
volume milliliter milliliters 0.001 millilitre millilitres ml mls ml's
volume cubic_meter cubic_meters 1000
volume cup cups 0.2365882365
volume pint pints 0.473176473 pt
volume quart quarts 0.946352946 qt
volume gallon gallons 3.785411784 gal
volume teaspoon teaspoons 0.00492892159375 tsp
volume tablespoon tablespoons 0.01478676478125 tbsp
volume fluid_ounce fluid_ounces 0.0295735295625 fl_oz
temperature degree_Celsius degrees_Celsius 1 celsius centigrade degrees_centigrade degree_centigrade c celcius
temperature degree_Fahrenheit degrees_Fahrenheit 5/9 fahrenheit f farenheit degrees_f
temperature kelvin kelvins 1 k
time second seconds 1 sec secs s
time millisecond milliseconds 0.001 ms
time minute minutes 60 min mins
time hour hours 3600 hr hrs h
time day days 86400
time week weeks 604800
time fortnight fortnights 1209600
time month months 2629746
time year years 31556952 yr yrs
time decade decades 315569520
time century centuries 3155695200
speed meter_per_second meters_per_second 1 metres_per_second m/s
speed kilometer_per_hour kilometers_per_hour 5/18 kilometers_an_hour kilometres_per_hour km/h kph kmh
speed mile_per_hour miles_per_hour 0.44704 miles_an_hour mph
speed knot knots 463/900
speed foot_per_second feet_per_second 0.3048
area square_meter square_meters 1 square_metre square_metres sqm
area square_foot square_feet 0.09290304 sq_ft
area square_inch square_inches 0.00064516
area square_yard square_yards 0.83612736
area square_kilometer square_kilometers 1000000 square_kilometre square_kilometres
area square_mile square_miles 2589988.110336
area acre acres 4046.8564224
area hectare hectares 10000
data bit bits 1/8
data byte bytes 1 b
data kilobyte kilobytes 1000 kb k
data megabyte megabytes 1000000 mb meg megs
data gigabyte gigabytes 1000000000 gb gig gigs
data terabyte terabytes 1000000000000 tb
angle degree degrees 1
"""
OFFSETS = {"degree Celsius": Fraction("273.15"), "degree Fahrenheit": Fraction("459.67") * Fraction(5, 9)}


def _read_table() -> dict[str, list[Unit]]:
    units: dict[str, list[Unit]] = {}
    for line in _TABLE.strip().splitlines():
        dimension, singular, plural, factor, *names = (part.replace("_", " ") for part in line.split())
        unit = Unit(singular, plural, dimension, Fraction(factor), OFFSETS.get(singular, Fraction(0)))
        for name in dict.fromkeys((singular.lower(), plural.lower(), *names)):
            units.setdefault(name, []).append(unit)
    ounce, fluid, degree = units["ounce"], units["fluid ounce"], units["degree"]
    for name in ("ounce", "ounces", "oz"):
        units[name] = ounce + fluid
    for name in ("degree", "degrees"):
        units[name] = degree + units["celsius"]
    return units


UNITS = _read_table()


def find_units(name: str, close: bool = True) -> list[Unit]:
    """What a name may mean (an ounce weighs or fills); with `close` misspellings are forgiven. Empty: unknown."""
    plain = " ".join(name.lower().strip(" .?!,").replace("°", "degrees ").replace("-", " ").split())
    plain = plain.removeprefix("the ").removeprefix("of ")
    for candidate in (plain, plain.removesuffix("'s"), plain.removesuffix("s")):
        if candidate in UNITS:
            return UNITS[candidate]
    if not close:
        return []
    alike = get_close_matches(plain, [known for known in UNITS if len(known) > 3], n=1, cutoff=0.82)
    return UNITS[alike[0]] if alike else []


def matching(source: list[Unit], target: list[Unit]) -> tuple[Unit, Unit] | None:
    """The first pair of meanings that measure the same thing."""
    return next(((a, b) for a in source for b in target if a.dimension == b.dimension), None)


def convert(value: Fraction, source: Unit, target: Unit) -> Fraction:
    return (value * source.factor + source.offset - target.offset) / target.factor

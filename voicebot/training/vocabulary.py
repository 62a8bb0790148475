"""Word lists behind the slots of the training patterns: wide, everyday, and mixed with invented words elsewhere."""

from __future__ import annotations

ONSETS = (
    "b",
    "br",
    "c",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "st",
    "t",
    "tr",
    "v",
    "w",
    "y",
    "z",
    "th",
    "ch",
    "",
)
RIMES = ("a", "ab", "an", "ar", "at", "e", "eb", "ed", "el", "en", "er", "ib", "im", "in", "ir", "o", "ob", "on", "or",
         "ug", "ul", "um", "ush", "y", "ade", "ine", "ope", "oon", "eck", "ilk", "ant", "ost", "ix", "ax")  # fmt: skip


def _split(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(",") if part.strip())


TIMER_NAMES = _split("""
    pasta, eggs, egg, rice, pizza, laundry, tea, coffee, bread, cake, cookies, chicken, turkey, oven, soup,
    steak, potatoes, noodles, dishes, dishwasher, washing machine, dryer, nap, workout, break, study, homework,
    meeting, meditation, yoga, plank, run, shower, parking, parking meter, game, lunch, dinner, breakfast,
    roast, lasagna, brownies, muffins, dough, sauce, beans, vegetables, broccoli, fish, salmon, ribs, bacon,
    toast, popcorn, garden, sprinkler, hair dye, face mask, medicine, bath, baby, bottle, kids, screen time,
    reading, piano practice, cleaning, kitchen, bedroom, first, second, big, other, short, stretch, interval,
    sprint, presentation, speech, exam, quiz""")
FOODS = _split("""
    milk, bread, eggs, butter, cheese, apples, bananas, tomatoes, onions, potatoes, carrots, rice, pasta,
    chicken, beef, pork, salmon, tuna, shrimp, soup, salad, pizza, tacos, burgers, pancakes, waffles, cake,
    cookies, pie, ice cream, chocolate, coffee, tea, juice, soda, wine, beer, water, lettuce, spinach, garlic,
    beans, corn, peas, mushrooms, lamb, turkey, ham, bacon, sausage, cereal, oatmeal, yogurt, honey, jam, flour,
    sugar, salt, stew, curry, chili, lasagna""")
OBJECTS = _split("""
    car, bike, truck, boat, house, garage, garden, lawn, fence, door, window, roof, kitchen, fridge, oven, sink,
    bathroom, bedroom, bed, sheets, couch, chair, table, lamp, desk, computer, laptop, printer, phone, charger,
    camera, tv, radio, book, library book, magazine, letter, package, parcel, bill, check, rent, ticket,
    tickets, passport, form, report, essay, project, slides, resume, homework, test, keys, wallet, purse, coat,
    jacket, shoes, shirt, suit, dress, laundry, dishes, trash, recycling, garbage, plants, flowers, dog, cat,
    fish, bird, hamster, horse, medicine, pills, vitamins, glasses, contract, gift, present, card, cake, tent,
    suitcase, bag, umbrella, ladder, paint, filter, battery, light bulb, tire, tires, oil, gas, heater, alarm
    system, stove, pool, grill, guitar, piano, bicycle pump, hose, mattress""")
ADJECTIVES = _split("""
    blue, red, green, big, small, old, new, broken, dirty, clean, heavy, spare, second, other, extra, frozen,
    fresh, leftover, winter, summer, electric, wooden, plastic, cheap, expensive, french, italian, spicy, sweet,
    black, white, long, short, quick, slow, hot, cold, organic, modern, ancient, local, foreign, tiny, huge,
    silver, golden""")
PERSON_VERBS = _split("""
    call, text, email, write to, visit, meet, pick up, thank, pay, invite, ask, remind, tell, help, phone,
    message, talk to, check on, drive, walk with, apologize to, get back to, say hi to, congratulate, follow up
    with, wake""")
OBJECT_VERBS = _split("""
    buy, sell, clean, wash, fix, find, get, take out, bring, return, check, open, close, lock, paint, water,
    feed, walk, move, order, pack, renew, mail, send, sign, print, read, finish, start, turn on, turn off,
    charge, change, replace, pick up, drop off, put away, throw out, look at, empty, fill, fold, iron, cook,
    bake, defrost, cancel, book, pay for, measure, sort, hang up, vacuum, dust, mow, rake, repair, update, back
    up, submit, review, wrap, borrow, insure""")
RELATIONS = _split("""
    mom, dad, my mom, my dad, my mother, my father, my wife, my husband, my brother, my sister, my son, my
    daughter, my boss, my friend, my neighbor, my teacher, my lawyer, my accountant, my landlord, my doctor, the
    doctor, the vet, the dentist, the bank, the school, the plumber, the electrician, the office, grandma,
    grandpa, my aunt, my uncle, my cousin, my girlfriend, my boyfriend, my roommate, the kids, the team, the
    landlord, the mechanic, the babysitter""")
PEOPLE = _split("""
    john, mary, bob, alice, peter, susan, david, linda, james, karen, mike, sarah, tom, anna, chris, emma, paul,
    julia, mark, laura, steve, lisa, george, nina, kevin, maria, brian, diana, eric, helen, frank, grace, henry,
    irene, jack, kate, leo, megan, nick, olivia, oscar, rachel, sam, tina, victor, wendy, carlos, sofia, ahmed,
    fatima, wei, yuki, raj, priya, ivan, olga, pierre, marie, hans, greta, luigi, rosa, juan, carmen, jose, ali,
    omar, noah, liam, mia""")
SURNAMES = _split("""
    smith, jones, brown, taylor, wilson, davis, clark, lewis, walker, hall, young, king, wright, hill, green,
    baker, lincoln, washington, mozart, newton, einstein, picasso, shakespeare, james, jackson, jordan, swift,
    dylan""")
EVENTS = _split("""
    meeting, doctor's appointment, dentist appointment, appointment, party, birthday, birthday party, wedding,
    dinner, lunch, interview, job interview, flight, class, lecture, exam, test, concert, game, match, movie,
    conference, call, conference call, phone call, deadline, haircut, date, anniversary, trip, vacation, parent
    teacher meeting, recital, rehearsal, delivery, inspection, oil change, car payment, rent, bill, taxes,
    medicine, graduation, picnic, visit""")
STATES = ("due", "ready", "empty", "broken", "late", "expiring", "dirty")
DOINGS = ("is coming", "is waiting", "needs help", "wants a call", "is visiting")
TASKS = _split("""
    take out the trash, call mom, pay the bills, pay rent, do the laundry, feed the dog, feed the cat, walk the
    dog, water the plants, take my medicine, take my pills, drink water, go to the gym, work out, exercise, go
    shopping, buy groceries, buy milk, pick up the kids, pick up my prescription, do my homework, study for the
    test, clean my room, wash the dishes, mow the lawn, check the oven, check the mail, lock the door, charge my
    phone, call the doctor, call the bank, go to bed, get up, brush my teeth, stretch, stand up, take a break,
    leave for work, leave for the airport, go to the post office, go to the dentist, get gas, get an oil change,
    get a haircut, return the library book, renew my license, file my taxes, send the report, finish the report,
    email the team, book a hotel, pack my bags, make dinner, start dinner, take the chicken out, defrost the
    meat, turn off the oven, bring a jacket, bring an umbrella, sign the form, wish him a happy birthday, order
    a cake, buy flowers, wrap the presents, meditate, read a book, practice piano, back up my computer, check my
    email, change the sheets, vacuum, give the cat her medicine, submit my time sheet, ask for time off, look
    for a job, do push ups, pray, do it, clean the bathroom""")
DURATION_PHRASES = _split("""
    half an hour, an hour, a minute, an hour and a half, a quarter of an hour, three quarters of an hour, half a
    minute, a minute and a half, a couple of minutes, a couple of hours, one and a half hours, two and a half
    hours, a few minutes, one hour, one minute, ten minutes, five minutes, twenty minutes, thirty seconds, a
    second, two hours""")
DAY_PHRASES = _split("""
    tomorrow, tomorrow, the day after tomorrow, yesterday, today, tonight, the day before yesterday, a week from
    now, in a week, in a month, a week from today, a month from now, in a year, next week, a week from tomorrow""")
NEAR_DAYS = _split("""
    tomorrow, tomorrow, today, tonight, tomorrow morning, tomorrow evening, tomorrow afternoon, tomorrow night,
    this evening, this afternoon, this morning, next monday, next friday""")
PLACES = _split("""
    london, paris, berlin, madrid, rome, tokyo, new york, los angeles, chicago, houston, phoenix, san francisco,
    boston, seattle, miami, denver, dallas, austin, atlanta, las vegas, detroit, toronto, vancouver, montreal,
    mexico city, sydney, melbourne, perth, brisbane, auckland, beijing, shanghai, hong kong, singapore, seoul,
    bangkok, hanoi, jakarta, manila, kuala lumpur, delhi, new delhi, mumbai, bangalore, calcutta, dubai, abu
    dhabi, tehran, baghdad, jerusalem, tel aviv, cairo, nairobi, lagos, johannesburg, cape town, casablanca,
    istanbul, ankara, athens, moscow, kiev, warsaw, prague, vienna, budapest, zurich, geneva, amsterdam,
    brussels, copenhagen, stockholm, oslo, helsinki, dublin, edinburgh, glasgow, manchester, lisbon, porto,
    barcelona, milan, venice, naples, munich, hamburg, frankfurt, buenos aires, rio, sao paulo, santiago, lima,
    bogota, caracas, havana, honolulu, anchorage, philadelphia, orlando, france, germany, spain, italy, england,
    ireland, scotland, portugal, greece, turkey, egypt, india, china, japan, korea, south korea, thailand,
    vietnam, australia, new zealand, brazil, argentina, chile, peru, colombia, mexico, canada, russia, poland,
    sweden, norway, finland, denmark, holland, the netherlands, belgium, switzerland, austria, kenya, nigeria,
    south africa, morocco, israel, iran, iraq, pakistan, florida, texas, california, hawaii, alaska, michigan,
    arizona, ohio, colorado, the philippines, indonesia, malaysia, nepal, iceland, the uk, the us, pacific time,
    eastern time, central time, mountain time, utc, est, pst, cst, mst, gmt, the pacific timezone, the eastern
    timezone, the central time zone, washington, portland, salt lake city, new orleans, san diego, kathmandu,
    kabul""")
PLACE_TAILS = ("city", "falls", "springs", "texas", "florida", "beach", "valley", "creek", "california", "england")
RARE_WORDS = _split("""
    necessary, rhythm, accommodate, beautiful, separate, embarrass, onomatopoeia, serendipity, gregarious,
    obfuscate, hello, goodbye, love, cat, dog, water, house, friend, tomorrow, potato, ubiquitous, quaint,
    diligent, cemetery""")
TITLE_WORDS = _split("""
    yesterday, love, night, star, wars, blue, river, moon, fire, dance, summer, heart, rain, road, home, king,
    dream, thunder, titanic, hello, halo, jazz, queen, midnight, sun, wild, gold, world, king, ghost, shadow,
    train, angel""")
TOPICS = _split("""
    physics, chemistry, biology, history, geography, philosophy, economics, politics, religion, music, opera,
    jazz, football, soccer, baseball, basketball, tennis, golf, chess, poker, cooking, baking, gardening,
    fishing, hunting, sailing, hiking, cars, motorcycles, airplanes, trains, rockets, space, planets, stars,
    black holes, the moon, mars, dinosaurs, whales, sharks, elephants, lions, birds, insects, spiders, snakes,
    dogs, cats, horses, trees, flowers, mountains, rivers, oceans, volcanoes, earthquakes, hurricanes, climate
    change, recycling, solar power, oil, gold, diamonds, money, banks, mortgages, loans, credit cards, taxes,
    insurance, stocks, bitcoin, inflation, wages, jobs, computers, the internet, phones, robots, software,
    python, artificial intelligence, video games, movies, books, poetry, painting, sculpture, photography,
    fashion, shoes, jewelry, perfume, wine, beer, whiskey, coffee, chocolate, cheese, bread, sushi, vitamins,
    diets, exercise, yoga, sleep, allergies, cancer, diabetes, vaccines, medicine, surgery, pregnancy, babies,
    schools, colleges, exams, languages, french, spanish, grammar, law, crime, police, prisons, war, peace, the
    army, the government, elections, democracy, the constitution, the pyramids, napoleon, the romans, vikings,
    pirates, castles, gods, ghosts, aliens, magic, zodiac signs, dreams, love, marriage, divorce, weddings,
    funerals, holidays, christmas, travel, hotels, flights, visas, passports, weather, gravity, electricity""")
TOPIC_TAILS = ("prices", "rules", "history", "repair", "lessons", "clubs", "news", "jokes", "theory", "season", "laws")
LISTS: dict[str, tuple[str, ...]] = {
    "_feel": _split("sad, tired, bored, lonely, upset, sick, angry, worried, stressed, nervous, depressed, scared"),
    "_fav": _split("color, food, movie, song, book, animal, sport, band, number, season, city, drink, game, holiday"),
    "_shop": _split(
        "store, bank, library, pharmacy, museum, post office, gym, supermarket, mall, restaurant, zoo, bar"
    ),
    "_language": _split(
        "spanish, french, german, italian, japanese, chinese, russian, korean, arabic, portuguese, latin"
    ),
}
UNIT_FAMILIES: tuple[tuple[tuple[str, ...], ...], ...] = (
    # singular first, then the forms that follow a number
    (("inch", "inches"), ("foot", "feet"), ("yard", "yards"), ("mile", "miles"), ("meter", "meters", "meters", "m"),
     ("centimeter", "centimeters", "centimeters", "cm"), ("millimeter", "millimeters", "millimeters", "mm"),
     ("kilometer", "kilometers", "kilometers", "km"), ("metre", "metres"), ("kilometre", "kilometres")),
    (("ounce", "ounces"), ("pound", "pounds", "pounds", "lbs"), ("gram", "grams"), ("kilogram", "kilograms"),
     ("kilo", "kilos", "kg"), ("ton", "tons"), ("milligram", "milligrams"), ("stone", "stone")),
    (("cup", "cups"), ("pint", "pints"), ("quart", "quarts"), ("gallon", "gallons"), ("liter", "liters"),
     ("milliliter", "milliliters", "ml"), ("teaspoon", "teaspoons"), ("tablespoon", "tablespoons"),
     ("fluid ounce", "fluid ounces", "ounces"), ("litre", "litres")),
    (("degree celsius", "celsius", "degrees celsius"), ("degree fahrenheit", "fahrenheit", "degrees fahrenheit"),
     ("kelvin", "kelvin")),
    (("second", "seconds"), ("minute", "minutes"), ("hour", "hours"), ("day", "days"), ("week", "weeks"),
     ("month", "months"), ("year", "years")),
    (("mile per hour", "miles per hour", "mph"), ("kilometer per hour", "kilometers per hour", "kilometers an hour"),
     ("knot", "knots"), ("meter per second", "meters per second")),
    (("square foot", "square feet"), ("square meter", "square meters"), ("acre", "acres"), ("hectare", "hectares"),
     ("square mile", "square miles"), ("square kilometer", "square kilometers")),
    (("byte", "bytes"), ("kilobyte", "kilobytes"), ("megabyte", "megabytes"), ("gigabyte", "gigabytes", "gb"),
     ("terabyte", "terabytes"), ("bit", "bits")),
)  # fmt: skip

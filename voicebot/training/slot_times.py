"""Spans, days and times of day as callers say them."""

from __future__ import annotations

from voicebot.brain.tools_numbers import spoken
from voicebot.training import vocabulary as v
from voicebot.training.slot_numbers import NumberSlots

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class TimeSlots(NumberSlots):
    """Durations, days and clock times, in the form that their place in the sentence asks for."""

    def _unit_count(self) -> tuple[int, str]:
        unit = self.rng.choices(("second", "minute", "hour"), (2, 6, 2))[0]
        high = {"second": 90, "minute": 60, "hour": 12}[unit]
        common = (1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 90)
        count = self.rng.choice([n for n in common if n <= high]) if self.rng.random() < 0.5 else 0
        return count or self.rng.randint(1, high), unit

    def _unit(self, unit: str, count: int) -> str:
        if not self.words and self.rng.random() < 0.15:
            unit = {"second": "sec", "minute": "min", "hour": "hr"}[unit]
        return unit if count == 1 or (unit == "min" and self.rng.random() < 0.5) else unit + "s"

    def duration(self) -> str:
        kind = self.rng.random()
        if kind < 0.62:
            count, unit = self._unit_count()
            return f"{self.show(count)} {self._unit(unit, count)}"
        if kind < 0.78:
            return self.rng.choice(v.DURATION_PHRASES)
        if kind < 0.90:
            return self._compound_duration()
        count = self.rng.randint(1, 9)
        unit = self.rng.choice(("minutes", "hours", "minutes"))
        return f"{self.show(count)} and a half {unit}" if self.words else f"{count}.5 {unit}"

    def _compound_duration(self) -> str:
        big, small = self.rng.choice((("hour", "minute"), ("minute", "second")))
        count, rest = self.rng.randint(1, 5), self.rng.randint(1, 55)
        first = (
            "an hour" if big == "hour" and count == 1 and self.words else f"{self.show(count)} {self._unit(big, count)}"
        )
        joint = self.rng.choice((" and ", " and ", " "))
        return f"{first}{joint}{self.show(rest)} {self._unit(small, rest)}"

    def duration_adjective(self) -> str:
        """The form before a noun: "ten minute", "10-minute", "half hour"."""
        if self.rng.random() < 0.12:
            return self.rng.choice(
                ("half hour", "one hour", "half an hour", "two and a half minute", "hour and a half")
            )
        count, unit = self._unit_count()
        dash = "-" if not self.words and self.rng.random() < 0.3 else " "
        return f"{self.show(count)}{dash}{unit if self.rng.random() < 0.93 else self._unit(unit, count)}"

    def day(self) -> str:
        kind = self.rng.random()
        if kind < 0.35:
            return self.rng.choice(v.DAY_PHRASES)
        if kind < 0.6:
            return self.rng.choice(("", "", "next ", "this ", "on ")) + self.rng.choice(WEEKDAYS)
        count = self.rng.choice((self.rng.randint(2, 12), self.rng.randint(2, 400)))
        unit = self.rng.choices(("days", "weeks"), (4, 1))[0] if count < 13 else "days"
        amount = f"{self.show(count)} {unit}"
        return self.rng.choice((f"in {amount}", f"{amount} from now", f"{amount} from today", f"in {amount} from now"))

    def _clock(self) -> str:
        hour = self.rng.randint(1, 12)
        kind = self.rng.random()
        if kind < 0.4:
            return self.show(hour)
        if kind < 0.65:
            return self._hour_minute(hour)
        if kind < 0.72:
            return f"{self.show(hour)} o'clock"
        if kind < 0.8:
            return self.rng.choice(("noon", "midnight", "midday"))
        past = self.rng.choice(
            ("half past", "a quarter past", "quarter past", "a quarter to", "quarter to", "ten past")
        )
        past = self.rng.choice((past, past, f"{self.show(self.rng.choice((5, 10, 20, 25)))} to", "quarter after"))
        return f"{past} {self.show(hour)}"

    def _hour_minute(self, hour: int) -> str:
        minute = self.rng.choice((5, 10, 15, 20, 30, 30, 30, 40, 45, 45, 50, 55, self.rng.randint(1, 59)))
        if not self.words:
            return self.rng.choice((f"{hour}:{minute:02d}", f"{hour}:{minute:02d}", f"{hour}{minute:02d}"))
        return f"{spoken(hour)} {'oh ' if minute < 10 else ''}{spoken(minute)}"

    def clock(self) -> str:
        """A time of day with or without its half of the day."""
        clock = self._clock()
        if clock in ("noon", "midnight", "midday") or self.rng.random() < 0.4:
            return clock
        if clock[-1].isdigit() and self.rng.random() < 0.7:
            return clock + self.rng.choice(("am", "pm", " am", " pm", " a.m.", " p.m."))
        if "o'clock" in clock or " to " in clock or " past " in clock or self.rng.random() < 0.4:
            return clock + self.rng.choice((" in the morning", " in the evening", " in the afternoon", " at night"))
        return clock + self.rng.choice((" am", " pm", " a m", " p m"))

    def clock_first(self) -> str:
        """Goes after "at": "seven", "seven thirty tomorrow", "6am on monday"."""
        clock, kind = self.clock(), self.rng.random()
        if kind < 0.6:
            return clock
        if kind < 0.8:
            return f"{clock} {self._near_day(clock)}"
        return f"{clock} on {self.rng.choice(WEEKDAYS)}"

    def when(self) -> str:
        """Goes after "for": any clock time, also day first."""
        if self.rng.random() < 0.72:
            return self.clock_first()
        clock = self.clock()
        return f"{self.rng.choice((self._near_day(clock), self.rng.choice(WEEKDAYS)))} at {clock}"

    def _near_day(self, clock: str) -> str:
        """A day that does not contradict the half of the day in the clock time."""
        plain = self._clock_is_bare(clock)
        return self.rng.choice(
            v.NEAR_DAYS if plain and self.rng.random() < 0.7 else ("tomorrow", "tomorrow", "next monday")
        )

    def _clock_is_bare(self, clock: str) -> bool:
        return not clock.endswith(("m", "m.", "ing", "noon", "night", "midday"))

    def when_with_preposition(self) -> str:
        kind = self.rng.random()
        if kind < 0.3:
            return f"at {self.clock_first()}"
        if kind < 0.5:
            return f"in {self.duration()}"
        if kind < 0.7:
            return self.rng.choice(v.NEAR_DAYS)
        if kind < 0.82:
            return self.rng.choice(
                (f"on {self.rng.choice(WEEKDAYS)}", f"{self.rng.choice(WEEKDAYS)} at {self.clock()}")
            )
        if kind < 0.9:
            return f"on {self.rng.choice(WEEKDAYS)} {self.rng.choice(('morning', 'afternoon', 'evening'))}"
        clock = self.clock()
        return f"{self._near_day(clock)} at {clock}"

    def several_times(self) -> str:
        joint = self.rng.choice(
            (" and ", " and ", " and another at ", " and another for ", " and one at ", " and one for ")
        )
        times = f"{self.clock()}{joint}{self.clock()}"
        return times + self.rng.choice(("", "", "", " tomorrow"))

#!/usr/bin/env bash
# Makes the test speech: 16 kHz mono 16-bit WAVs in flite's slt voice, with 100 ms of quiet at both ends, and
# transcripts.tsv (file, words). Sounds that are no words have an empty transcript. Needs flite and sox.
set -euo pipefail
cd "$(dirname "$0")"

for program in flite sox; do
    command -v "$program" >/dev/null || { echo "error: $program is not installed; apt-get install flite sox" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'file\twords\n' >transcripts.tsv

listed() { printf '%s\t%s\n' "$1" "$2" >>transcripts.tsv; }

# synthesised FILE TEXT: the voice alone, trimmed to where it is above -50 dB.
synthesised() {
    flite -voice slt -t "$2" -o "$work/raw.wav"
    sox -R "$work/raw.wav" -r 16000 -b 16 -c 1 "$1" norm -3 silence 1 0.01 0.3% reverse silence 1 0.01 0.3% reverse
}

padded() { sox -R "$1" "$2" pad 0.1 0.1; }

say() {
    synthesised "$work/said.wav" "${3:-$2}"
    padded "$work/said.wav" "$1.wav"
    listed "$1.wav" "$2"
}

# pause FILE SECONDS FIRST SECOND: two phrases with a pause between them, as one turn.
pause() {
    synthesised "$work/first.wav" "$3"
    synthesised "$work/second.wav" "$4"
    sox -R "$work/first.wav" "$work/gap.wav" pad 0 "$2"
    sox -R "$work/gap.wav" "$work/second.wav" "$work/both.wav"
    padded "$work/both.wav" "$1.wav"
    listed "$1.wav" "$3 $4"
}

say what_time_is_it "what time is it"
say what_day_is_it "what day is it today"
say set_a_timer "set a timer for ten minutes"
say cancel_the_timer "cancel the timer"
say seven_times_eight "what is seven times eight"
say twelve_plus_thirty "what is twelve plus thirty"
say feet_in_a_mile "how many feet are in a mile"
say hello "hello"
say thank_you "thank you"
say goodbye "goodbye"
say tell_me_a_joke "tell me a joke"
say what_is_your_name "what is your name"
say what_can_you_do "what can you do"
say remind_me "remind me to call mom tomorrow"
say turn_it_up "turn it up"
say say_that_again "say that again"
say stop "stop"
say wait "wait"
say okay "okay"
say mm_hm "mm hm" "um hum"
pause timer_with_pause 0.4 "set a timer for" "ten minutes"
pause timer_with_long_pause 0.9 "set a timer for" "ten minutes"

# A cough: a burst of low-passed noise that dies away, then a weaker one. -R makes the noise the same every time.
sox -R -n -r 16000 -b 16 -c 1 "$work/burst.wav" synth 0.22 brownnoise band -n 900 700 fade l 0.005 0.22 0.19 norm -6
sox -R "$work/burst.wav" "$work/weak.wav" vol 0.5 pad 0.08
sox -R "$work/burst.wav" "$work/weak.wav" "$work/cough.wav"
padded "$work/cough.wav" cough.wav
listed cough.wav ""

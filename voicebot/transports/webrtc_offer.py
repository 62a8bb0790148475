"""What is taken of a browser's SDP offer, what is refused, in words, and what the answer asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aiortc.sdp import MediaDescription, SessionDescription

from voicebot.errors import ProtocolError

OFFER_LIMIT = 64 * 1024
MEDIA_SECTIONS = 4
_SPEECH = "minptime=20;useinbandfec=1;usedtx=0;stereo=0;sprop-stereo=0;maxaveragebitrate=32000"


def check_offer(offer_sdp: str) -> str:
    """The offer as aiortc shall see it, after refusing what it would choke on or what would cost too much.

    Left out are host names in place of addresses (`.local`: resolving them costs up to a second, and their owner
    is found by its own checks) and the end of candidates, so that those checks are waited for.

    Raises: ProtocolError.
    """
    if len(offer_sdp) > OFFER_LIMIT:
        raise ProtocolError(f"the SDP offer has {len(offer_sdp)} characters; the limit is {OFFER_LIMIT}")
    lines = [line for line in offer_sdp.splitlines() if not _left_out(line)]
    kept = "\r\n".join(lines) + "\r\n"
    try:
        offer = SessionDescription.parse(kept)
    except (
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
        AssertionError,
        StopIteration,
    ) as error:
        raise ProtocolError(f"the SDP offer is malformed: {type(error).__name__}: {error}") from None
    _check_media(offer.media)
    return kept


def ask_for_speech(answer_sdp: str) -> str:
    """aiortc's answer, asking for one channel of speech in 20 ms packets that carry copies against loss.

    Without these words a browser sends what it likes: music in stereo to a recogniser of speech. DTX is not asked
    for: it saves the silence between words, which is what ends of turns are told by. Source: RFC 7587 section 6.1.
    """
    lines = []
    for line in answer_sdp.splitlines():
        lines.append(line)
        if line.startswith("a=rtpmap:") and line.lower().endswith(" opus/48000/2"):
            payload_type = line.removeprefix("a=rtpmap:").split(" ")[0]
            lines.append(f"a=fmtp:{payload_type} {_SPEECH}")
    return "\r\n".join(lines) + "\r\n"


def _left_out(line: str) -> bool:
    is_name = line.startswith("a=candidate:") and len(fields := line.split()) > 4 and fields[4].endswith(".local")
    return is_name or line.strip() == "a=end-of-candidates"


def _check_media(sections: Sequence[MediaDescription]) -> None:
    kinds = [media.kind for media in sections]
    if kinds.count("audio") != 1:
        raise ProtocolError(f"the SDP offer has {kinds.count('audio')} audio sections; exactly one is needed")
    if set(kinds) - {"audio", "application"} or len(kinds) > MEDIA_SECTIONS:
        raise ProtocolError(f"the SDP offer has media {kinds}; one audio and one data channel section are taken")
    for media in sections:
        ice, dtls = media.ice, media.dtls
        if not (ice and ice.usernameFragment and ice.password and dtls and dtls.fingerprints):
            raise ProtocolError(f"the {media.kind} section of the SDP offer lacks ICE credentials or a fingerprint")
    codecs = [codec.mimeType.lower() for media in sections for codec in media.rtp.codecs]
    if "audio/opus" not in codecs:
        raise ProtocolError(f"the SDP offer has no Opus but {codecs}; every WebRTC endpoint has it (RFC 7874)")

"""The brain of one call: each turn is labelled, routed and planned, and the plan is carried out.

    words -> label -> route -> policy.decide -> Plan
        member   attempts in order, each behind its threshold; all rejected -> errand, where the plan allows it
        expert   its clauses at once, after the commit
        errand   an acknowledgement now, the expert in the background, its answer as a reply of its own

Until its turn is committed nothing leaves the machine and nothing acts. A turn always gets words: where the expert
fails or is forbidden, the caller is told so and gets the best local answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from voicebot.brain.account import EXPERT, Account, Decision, Notebook, Outcome, Tried
from voicebot.brain.ahead import reads_ahead
from voicebot.brain.expert import Errand, Expert
from voicebot.brain.fixed_words import acknowledgement, notice_of
from voicebot.brain.fleet import Fleet, Member
from voicebot.brain.jobs import Job, Order
from voicebot.brain.policy import Limits, Plan, Situation, decide
from voicebot.brain.privacy import CallPrivacy, Verdict, prompt_label, without_private
from voicebot.brain.reply import Attempt, Rejected, Reply, ReplySettings, message
from voicebot.brain.shadow import CallCopies, Shadows
from voicebot.brain.wishes import instructed, sampled
from voicebot.core.events import ErrandWanted, Event, ReplyBegan
from voicebot.core.history import Line
from voicebot.core.labels import Label
from voicebot.core.wishes import Wishes
from voicebot.engines.base import LlmEngine, LlmRequest, Message, TextDelta
from voicebot.errors import EgressDenied, EngineError
from voicebot.lane import LaneLike

CONTEXT_LINES = 4
"""Earlier lines that the router sees."""
LOCAL_S = 15.0
"""How long the local answer in an expert's place may take; beyond, the caller hears only that there is none."""


class Route(Protocol):
    """What a router says of a turn; see `brain.router.Route`."""

    @property
    def task(self) -> str: ...
    @property
    def hard(self) -> float: ...
    @property
    def oos(self) -> float: ...
    @property
    def confidence(self) -> float: ...


class Router(Protocol):
    def route(self, text: str, context: Sequence[str] = ()) -> Route: ...


async def uncovered(_text: str) -> float:
    """Where there are no documents."""
    return 0.0


@dataclass(frozen=True, slots=True)
class BrainDeps:
    """What all calls of a server share. `router` None: every turn is the general member's."""

    fleet: Fleet
    account: Account
    label_of: Callable[[str], Verdict]
    router: Router | None = None
    expert: Expert | None = None
    limits: Limits = field(default_factory=Limits)
    default_label: Label = Label.OPEN
    shadows: Shadows | None = None
    covered: Callable[[str], Awaitable[float]] = uncovered
    """How much of a question (0..1) the operator's documents answer."""


def brain_of_one(llm: LaneLike[LlmEngine], settings: ReplySettings, account: Account | None = None) -> BrainDeps:
    """A fleet of one general member, no router and no expert."""
    member = Member("talker", frozenset(), llm, settings.system_prompt, settings.sampling, general=True)
    return BrainDeps(Fleet([member]), account or Notebook(), lambda _text: Verdict(Label.OPEN))


class CallBrain:
    """One call's. Thread: the loop."""

    def __init__(
        self,
        call: str,
        deps: BrainDeps,
        report: Callable[[Event], None],
        default_label: Label | None = None,
        caller: str = "",
    ) -> None:
        """`default_label`: of this call's turns; None for the server's. `caller`: the number that calls, if known."""
        self._call = call
        self._deps = deps
        self._report = report
        self._clock = asyncio.get_running_loop().time
        self.privacy = CallPrivacy(deps.default_label if default_label is None else default_label)
        self._member = ""
        """Who was asked last."""
        self._copies = CallCopies(deps.shadows, deps.fleet, call, caller)

    def close(self) -> None:
        """The call is over: whoever kept something for it forgets it."""
        self._settle(over=True)
        if self._deps.expert is not None:
            self._deps.expert.end_call(self._call)

    def _settle(self, over: bool = False) -> None:
        """Tell the books, and who compares answers, of turns whose label stands."""
        for turn in self.privacy.settle(over):
            label = self.privacy.label_of_answer(turn)
            self._deps.account.settled(self._call, turn, label)
            self._copies.settled(turn, label)

    def label(self, turn: int, text: str) -> None:
        """Of words that join the talk without an answer."""
        self.privacy.turn(turn, self._deps.label_of(text))
        self._settle()

    # ---- a turn

    async def answer(self, reply: Reply, turn: int, text: str, lines: Sequence[Line]) -> None:
        """Write the reply to a turn. `text` "": `lines` ends with what is to be answered.

        Raises: EngineError, if nobody could answer.
        """
        asked = next((line for line in reversed(lines) if line.role == "user"), None) if not text else None
        covered = await self._deps.covered(text or (asked.text if asked else "")) if self._deps.router else 0.0
        verdict = Verdict(self.privacy.label_of(asked.turn)) if asked else self._deps.label_of(text)
        label = self.privacy.turn(turn, verdict)
        self._settle()
        talk = self._talk(lines, text, label)
        pinned = self._pinned(reply.wishes, lines, new=bool(text))
        new, text = text, text or (asked.text if asked else "")
        decision, plan = self._plan(turn, text, lines, talk, covered)
        if pinned is not None:
            decision, plan = replace(decision, reason=pinned.reason), pinned
        now = partial(self._talk, tuple(lines), new)
        shadow = plan.shadow if self._copies.wanted(decision.task) else ""
        self._copies.plan(turn, shadow, lambda: now(self.privacy.label_of(turn)) if reply.stands else None)
        self._report(ReplyBegan(reply.number, "", _shown(decision, plan, label)))
        self._deps.account.decided(decision)
        match plan.kind:
            case "errand":
                await self._acknowledge(reply, text)
            case "expert":
                await self._ask_in_place(reply, turn, text, talk, plan)
            case "member":
                await self._ask_members(reply, turn, text, talk, plan)

    def foresee(self, text: str, lines: Sequence[Line], wishes: Wishes) -> tuple[Member, LlmRequest] | None:
        """Who would answer words that begin with `text`, and its prompt without tools; None where nobody reads ahead.

        Nothing is labelled, booked or looked up: the words stay on this machine.
        """
        fleet = self._deps.fleet
        if not any(reads_ahead(one.lane.engine) for one in fleet):
            return None
        talk = [*self._talk(lines, "", Label.LOCAL_ONLY), Message("user", text)]
        plan = self._pinned(wishes, lines, new=True) or (self._plan(0, text, lines, talk, 0.0)[1] if text else None)
        general = next(one for one in fleet if one.general)
        member = general if plan is None else fleet[plan.members[0]] if plan.kind == "member" else None
        if member is None or member.job is not None or not reads_ahead(member.lane.engine):
            return None
        sampling = replace(sampled(member.sampling, wishes), max_tokens=0)
        return member, LlmRequest(instructed(member.messages(talk), wishes), sampling=sampling, session=self._call)

    def _talk(self, lines: Sequence[Line], text: str, label: Label) -> list[Message]:
        """The talk so far and the caller's words, each message with the label of its turn."""
        of_caller, of_bot = self.privacy.label_of, self.privacy.label_of_answer
        history = [message(line, (of_caller if line.role == "user" else of_bot)(line.turn)) for line in lines]
        return [*history, Message("user", text, label=label)] if text else history

    def _pinned(self, wishes: Wishes, lines: Sequence[Line], new: bool) -> Plan | None:
        """Where nothing is to be decided: a client has named the member, or its tool's result goes to whoever asked.

        `new`: there are words that are not in `lines` yet.
        """
        if wishes.member:
            return Plan("member", (wishes.member,), f"the client asked for {wishes.member}")
        here = self._member or next(one.name for one in self._deps.fleet if one.general)
        if wishes.schema is not None:
            return Plan("member", (here,), f"an answer by a schema is written here, by {here}")
        if new or (lines and lines[-1].role == "user"):
            return None
        why = "a tool has answered" if lines and lines[-1].role == "tool" else "nobody has said anything new"
        return Plan("member", (here,), f"{why}, so {here} goes on")

    def _plan(
        self, turn: int, text: str, lines: Sequence[Line], talk: list[Message], covered: float
    ) -> tuple[Decision, Plan]:
        """The decision's label is that of all the talk; the expert's part in it depends on what would be sent."""
        deps, label = self._deps, prompt_label(talk)
        facts = deps.fleet.facts(self._clock(), self._copies.sampled)
        if deps.router is None:
            general = next(one.name for one in facts if one.general)
            plan = Plan("member", (general,), f"no router is set, so {general}")
            return Decision(self._call, turn, "", math.nan, math.nan, math.nan, label, plan.reason), plan
        context = [line.text for line in lines[-CONTEXT_LINES:] if line.text]
        route = deps.router.route(text, context)
        situation = Situation(route.task, route.hard, route.oos, prompt_label(_outgoing(talk)), "none")
        situation = replace(situation, covered=covered, sampled=self._copies.wanted(route.task))
        if (expert := deps.expert) is not None:
            state, expected_ms = expert.state(self._call), expert.expected_ms
            situation = replace(situation, expert=state, expected_ms=expected_ms, remote=expert.remote)
        plan = decide(situation, facts, deps.limits)
        decision = Decision(self._call, turn, route.task, route.hard, route.oos, route.confidence, label, plan.reason)
        return decision, plan

    async def _ask_members(self, reply: Reply, turn: int, text: str, talk: list[Message], plan: Plan) -> None:
        if plan.notice:
            await reply.put(plan.notice)
        error: EngineError | None = None
        for name in plan.members:
            try:
                await self._attempt(reply, turn, self._deps.fleet[name], talk, gated=plan.escalate)
            except Rejected as why:
                self._report(ReplyBegan(reply.number, "", {"escalated": str(why), "member": "", "kind": "errand"}))
                break
            except EngineError as failed:
                if reply.written > bool(plan.notice):
                    raise
                error = failed
            else:
                return
        if plan.escalate:
            await self._acknowledge(reply, text)
        elif error is not None:
            raise error

    async def _attempt(self, reply: Reply, turn: int, member: Member, talk: list[Message], *, gated: bool) -> None:
        """One member's answer, booked whatever becomes of it. Raises: Rejected, EngineError."""
        label = prompt_label(talk)
        self.privacy.answered(turn, label)
        threshold, wishes = member.threshold, reply.wishes
        self._member = member.name
        self._report(ReplyBegan(reply.number, member.lane.engine.name, {"member": member.name}))
        attempt = Attempt(member.lane.engine.name)
        outcome: Outcome = "cancelled"
        reason = ""
        try:
            if member.job is not None:
                await self._do_job(reply, member, member.job, talk, attempt, gated=gated)
            else:
                await reply.attempt(
                    member.lane,
                    instructed(member.messages(talk), wishes),
                    sampled(member.sampling, wishes),
                    self._call,
                    gate=(lambda done: threshold.rejects(done.mean_logprob, done.min_logprob)) if gated else None,
                    attempt=attempt,
                    offered=member.tools,
                )
            outcome = "ok"
            member.worked()
            self._copies.answered(turn, member.name, attempt)
            if (done := attempt.done) is not None and done.prompt_tokens:
                read = {"prompt_tokens": done.prompt_tokens, "cached_tokens": done.cached_tokens}
                self._report(ReplyBegan(reply.number, member.lane.engine.name, read))
        except Rejected as why:
            outcome, reason = "rejected", str(why)
            raise
        except EngineError as error:
            outcome, reason = "failed", type(error).__name__
            member.failed(self._clock())
            raise
        finally:
            self._deps.account.tried(Tried(self._call, turn, member.name, attempt, label, outcome, reason))

    async def _do_job(
        self, reply: Reply, member: Member, job: Job, talk: list[Message], attempt: Attempt, *, gated: bool
    ) -> None:
        """A specialist's product, spoken and on record. Raises: Rejected, where somebody better may be asked."""
        session = f"{self._call}/{member.name}"
        made = await job.work(Order(member.lane, member.prompt, member.sampling, talk, session, attempt))
        why = made.rejected or member.threshold.rejects(made.mean_logprob, made.min_logprob)
        if gated and why:
            raise Rejected(why)
        attempt.text = made.speech
        if made.value is not None:
            reply.record(member.name, made.value)
        await reply.say(made.speech)

    async def _acknowledge(self, reply: Reply, text: str) -> None:
        self._report(ErrandWanted(reply.number, text))
        await reply.put(acknowledgement(text))

    async def _ask_in_place(self, reply: Reply, turn: int, text: str, talk: list[Message], plan: Plan) -> None:
        """The expert is quick: its answer is the reply. It is asked when the turn stands, not before.

        Where it is not quick after all, the caller hears a few words meanwhile.
        """
        assert self._deps.expert is not None
        await reply.committed()
        self._report(ReplyBegan(reply.number, self._deps.expert.name, {"member": EXPERT}))
        begun = asyncio.Event()
        error: EgressDenied | EngineError | None = None
        async with asyncio.TaskGroup() as group:
            meanwhile = group.create_task(self._say_meanwhile(reply, text, begun))
            try:
                async for clause in self._asked(turn, text, talk):
                    begun.set()
                    await reply.put(clause)
            except (EgressDenied, EngineError) as failed:
                error = failed
            meanwhile.cancel()
        if error is not None and begun.is_set():
            raise error
        if error is not None:
            local = Plan("member", plan.members, plan.reason, notice=notice_of(error))
            await self._ask_members(reply, turn, text, talk, local)

    async def _say_meanwhile(self, reply: Reply, text: str, begun: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._deps.limits.acknowledge_ms / 1000):
                await begun.wait()
        except TimeoutError:
            await reply.put(acknowledgement(text))

    async def _asked(self, turn: int, text: str, talk: list[Message]) -> AsyncIterator[str]:
        """The expert's clauses, booked whatever becomes of it."""
        expert = self._deps.expert
        assert expert is not None
        request = expert.request(_outgoing(talk) if expert.remote else talk, text, self._call)
        attempt = Attempt(expert.name)
        outcome: Outcome = "cancelled"
        reason = ""
        try:
            async for clause in expert.clauses(request, self._call, turn, attempt):
                yield clause
            outcome = "ok"
            self._copies.answered(turn, EXPERT, attempt)
        except (EgressDenied, EngineError) as error:
            outcome, reason = "failed", type(error).__name__
            raise
        finally:
            label = prompt_label(request.messages)
            self._deps.account.tried(
                Tried(self._call, turn, EXPERT, attempt, label, outcome, reason, remote=expert.remote)
            )

    # ---- in the background

    async def run_errand(self, errand: Errand, lines: Sequence[Line]) -> None:
        """Ask the expert what a turn wanted to know, or find the best words that are left."""
        before = [line for line in lines if line.turn != errand.turn]
        talk = self._talk(before, errand.question, self.privacy.label_of(errand.turn))

        async def instead(error: Exception) -> str:
            self.privacy.answered(errand.turn, prompt_label(talk))
            return f"{notice_of(error)} {await self._local_words(talk)}".strip()

        await errand.run(self._asked(errand.turn, errand.question, talk), instead)

    async def _local_words(self, talk: list[Message]) -> str:
        """What the general member says to it, without tools; "" if that fails too."""
        member = next(one for one in self._deps.fleet if one.general)
        engine = member.lane.engine
        request = LlmRequest(member.messages(talk), sampling=member.sampling, session=self._call)
        chunks = member.lane.stream(lambda cancel: engine.generate(request, cancel))
        try:
            async with asyncio.timeout(LOCAL_S):
                return "".join([chunk.text async for chunk in chunks if isinstance(chunk, TextDelta)]).strip()
        except (EngineError, TimeoutError):
            member.failed(self._clock())
            return ""


def _outgoing(talk: list[Message]) -> list[Message]:
    """What of the talk an expert elsewhere is asked with: the caller's words, and what was not private before them."""
    return [*without_private(talk[:-1]), *talk[-1:]]


def _shown(decision: Decision, plan: Plan, label: Label) -> dict[str, Any]:
    """For the page and the trace: numbers and our own words. `label`: of the caller's words."""
    known = {key: value for key, value in asdict(decision).items() if value == value and value != ""}
    known = {key: round(value, 3) if isinstance(value, float) else value for key, value in known.items()}
    return {**known, "label": str(label), "kind": plan.kind, "members": list(plan.members)}

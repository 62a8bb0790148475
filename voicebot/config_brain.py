"""The settings of the brain: the fleet, the router, the frontier model, privacy and the ledger. See `config.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LabelName = Literal["open", "redact", "local_only"]


class Section(BaseModel):
    """Frozen, and closed: a key that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class MemberConfig(Section):
    """[fleet.NAME]: one specialist. Adding one, or giving one another model, is a matter of these lines only."""

    job: Literal["talk", "extract", "classify", "rewrite", "retrieve"] = "talk"
    """What it does with a turn; see docs/fleet.md."""
    tasks: tuple[str, ...] = ()
    """Tasks of the router that it owns; empty takes its job's own."""
    engine: str | None = None
    """Engine URL; None takes engines.llm. Members with the same URL share one engine."""
    prompt: str = ""
    """Its instructions: short, concrete, one job."""
    prompt_file: Path | None = None
    """The same from a file."""
    tools: tuple[str, ...] | None = None
    """Names of the tools that it is offered; None for all, [] for none."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=200, ge=1)
    min_logprob: float | None = None
    """Least token log-probability of an answer that is spoken; see `voicebot eval calibrate`. None accepts all."""
    mean_logprob: float | None = None
    general: bool = False
    """It takes what nobody owns. Exactly one member does."""
    fields: dict[str, str] = Field(default_factory=dict)
    """For extract: name of a detail -> what it is, in words for the model."""
    required: tuple[str, ...] = ()
    """For extract: the details that the caller is asked for when they are missing."""
    labels: dict[str, str] = Field(default_factory=dict)
    """For classify: label -> the sentence that is spoken for it, "" for the usual one."""
    stage: Literal["live", "shadow", "off"] = "live"
    """"shadow" puts it on trial: it answers nobody and gets copies of its tasks' turns; see [shadow]."""
    evals: Path | None = None
    """Examples to calibrate it on: JSON lines of {"text", "expected"}; see `voicebot eval calibrate`."""

    @model_validator(mode="after")
    def _one_prompt(self) -> MemberConfig:
        if self.prompt and self.prompt_file:
            raise ValueError("a member of the fleet has prompt or prompt_file, not both")
        if self.job == "extract" and not self.fields:
            raise ValueError('a member with job = "extract" needs fields = {name = "what it is"}')
        if self.job == "classify" and len(self.labels) < 2:
            raise ValueError('a member with job = "classify" needs two labels at least: labels = {billing = "", ...}')
        if unknown := set(self.required) - set(self.fields):
            raise ValueError(f"required names {', '.join(sorted(unknown))}, which fields does not")
        return self


class RouterConfig(Section):
    """Which model answers is decided by a small classifier of the caller's words."""

    url: str = "router://"
    """"router://" for the shipped one, "router:///path/to/DIR" for your own, "" for none."""
    hard_at: float = Field(default=0.5, ge=0, le=1)
    """P(too hard for the fleet) from which the frontier is asked."""
    oos_at: float = Field(default=0.5, ge=0, le=1)
    """P(nobody's task) from which the frontier is asked."""


class FrontierConfig(Section):
    """The expert for hard turns: any LLM engine URL. Its key is in the environment, never here."""

    url: str = ""
    """E.g. "openai://api.openai.com/v1?model=gpt-5-mini"; "" for none."""
    timeout_s: float = Field(default=20.0, gt=0)
    """To its first words, and between them."""
    acknowledge_ms: float = Field(default=700.0, ge=0)
    """Expected wait from which the caller is told that it takes a moment."""
    max_tokens: int = Field(default=300, ge=1)
    prompt: str | None = None
    usd_per_call: float | None = Field(default=None, ge=0)
    """What one call may cost; None for no limit."""
    usd_per_day: float | None = Field(default=None, ge=0)
    failures: int = Field(default=3, ge=1)
    """Failures in a row after which it is left alone,"""
    rest_s: float = Field(default=30.0, gt=0)
    """and for how long."""


class ShadowConfig(Section):
    """Copies of turns for another model, unheard, to compare the two. See docs/shadow.md."""

    share: float = Field(default=0.0, ge=0, le=1)
    """Of callers, always the same ones; 0 for none."""
    tasks: tuple[str, ...] = ()
    """Whose turns are copied; empty for all."""
    usd_per_day: float = Field(default=1.0, ge=0)
    """What copies and judges may cost, apart from frontier.usd_per_day."""
    judge: bool = False
    """Whether the frontier is asked, of two answers in words that differ, which is better."""


class PrivacyConfig(Section):
    """What may leave this machine. See docs/privacy.md."""

    default: LabelName = "redact"
    """The label of a turn in which nothing calls for a stricter one."""
    allow: tuple[str, ...] = ()
    """Hosts that words may be sent to beside the frontier's own."""
    transports: dict[str, LabelName] = Field(default_factory=dict)
    """The same by how a call comes in: webrtc, twilio, ... The strictest of all that fit a call holds."""
    numbers: dict[str, LabelName] = Field(default_factory=dict)
    """The same by a number that calls or is called: "+15550100", or "+1555*" for all that begin so."""


class DocumentsConfig(Section):
    """The operator's own documents, which the member `retrieve` answers from. See docs/fleet.md."""

    dir: Path | None = None
    """Folder of .md, .txt and .pdf files; None for none."""
    embed: str = "auto"
    """The sentence model by which they are found by meaning too: its folder, or the name of a pulled one; "auto" for
    one that was pulled, if any, "" for words alone."""
    least: float = Field(default=0.5, ge=0, le=1)
    """Share of a question's words that a passage must have to answer it."""
    sure: float = Field(default=0.8, ge=0, le=1)
    """Share from which the documents are asked also where the router sees no task of theirs."""


class McpConfig(Section):
    """[tools.mcp.NAME]: a server of tools, started as a program or reached by URL."""

    command: tuple[str, ...] = ()
    """Program and arguments; it speaks MCP over its standard input and output."""
    url: str = ""
    """Its address, for MCP over HTTP."""
    env: tuple[str, ...] = ()
    """Names of environment variables that the program is given; few are passed on by themselves."""
    token_env: str = ""
    """The environment variable that holds the bearer token for `url`."""
    tools: tuple[str, ...] | None = None
    """Which of its tools are taken; None for all."""
    acting: tuple[str, ...] | None = None
    """Which of them change something; None goes by what the server says, and by yes where it says nothing."""
    slow: tuple[str, ...] = ()
    """Which may take longer than a caller waits in silence."""
    timeout_s: float = Field(default=30.0, gt=0)
    local: bool = False
    """Whether all that it is given stays on this machine. Others get nothing but what privacy.allow lets out."""

    @model_validator(mode="after")
    def _one_way(self) -> McpConfig:
        if bool(self.command) == bool(self.url):
            raise ValueError("an MCP server in [tools.mcp.NAME] has either command or url")
        return self


class ToolsConfig(Section):
    """What models may run for callers. See docs/tools.md."""

    builtin: tuple[str, ...] | None = None
    """Names of the built-in ones that are offered; None for all."""
    files: tuple[Path, ...] = ()
    """Python files of your own with @tool functions."""
    transfer: dict[str, str] = Field(default_factory=dict)
    """Whom callers can be put through to: the name they use -> telephone number or SIP address."""
    notes_dir: Path | None = None
    """Where notes of callers are kept from call to call; None keeps them for the length of the call."""
    mcp: dict[str, McpConfig] = Field(default_factory=dict)


class PriceConfig(Section):
    """US dollars per million tokens."""

    input_usd: float = Field(ge=0)
    output_usd: float = Field(ge=0)
    cached_usd: float | None = Field(default=None, ge=0)


class LedgerConfig(Section):
    """Who answered what, why, and what it cost. See docs/ledger.md."""

    url: str = ""
    """Database; "" for ledger.db in the state directory."""
    journal_dir: Path | None = None
    """None: ledger-journal in the state directory."""
    keep_texts: bool = False
    """Whether the words of turns labelled "open" are kept too."""
    prices: dict[str, PriceConfig] = Field(default_factory=dict)
    """Model name -> price, over those that are known."""
    local_usd_per_hour: float = Field(default=0.0, ge=0)
    """What an hour of this machine's computing is to be counted as."""
    reference: str = "gpt-5"
    """The frontier model that the bill compares with; by default one priced in the middle of the field."""
    reference_prompt_tokens: int = Field(default=0, ge=0)

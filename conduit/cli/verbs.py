"""How a command is declared: a function over a `Call`, plus the options it shares with others.

`@verb(noun, "list", "listing")` gives a function the options of its groups without repeating them,
and takes pydantic, which Typer would load to read a text as a text, out of the way.
"""

import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import is_dataclass
from typing import Annotated, Any, get_args, get_origin

import typer
import typer.core
from typer._click.globals import get_current_context
from typer.main import get_command_from_info
from typer.models import CommandInfo

from conduit.cli.call import Call
from conduit.cli.failures import Failure, is_of_key
from conduit.cli.option_groups import Group, call_options, shared_options
from conduit.cli.program import COMPLETION_VARIABLE
from conduit.client.errors import ClientError

_ALIASES = {"list": "ls", "delete": "rm", "remove": "rm"}


_ANYTHING = ("FILE", "PATH", "DIR", "PROMPT", "TEXT", "VALUE", "ARGS")
"""Of metavars: what may be empty, or name a file."""


class _PlainParam:
    """Reads texts, numbers and flags as what they are, in place of a pydantic adapter."""

    def __init__(self, annotation: Any) -> None:
        kind = annotation
        while get_args(kind):  # of `list[int] | None` the int
            kind = next(part for part in get_args(kind) if part is not type(None))
        self._kind = kind

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        for text in value if isinstance(value, list | tuple) else (value,):
            _refuse_no_text(text, param, ctx)
        if self._kind not in (int, float):
            return value
        try:
            read = [self._kind(each) for each in (value if param.multiple else (value,))]
        except ValueError as error:
            kind = "a whole number" if self._kind is int else "a number"
            raise typer.BadParameter(f"{kind} is expected, not {value!r}.", ctx, param) from error
        for number in read:
            _refuse_out_of_range(number, param, ctx)
        return read if param.multiple else read[0]


def _refuse_out_of_range(number: float, param: Any, ctx: Any) -> None:
    """Raise BadParameter for what is below `min=` or above `max=` of an option."""
    if param.min is not None and number < param.min:
        raise typer.BadParameter(f"at least {param.min} is expected, not {number}.", ctx, param)
    if param.max is not None and number > param.max:
        raise typer.BadParameter(f"at most {param.max} is expected, not {number}.", ctx, param)


def _refuse_no_text(value: Any, param: Any, ctx: Any) -> None:
    """Raise BadParameter for what names nothing: an empty variable of a script, or bytes that are
    no text. A path may be any bytes, and a prompt or a value may be empty.
    """
    if not isinstance(value, str) or any(word in (param.metavar or "") for word in _ANYTHING):
        return
    if not value and param.param_type_name == "argument":
        raise typer.BadParameter("it is empty.", ctx, param)
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise typer.BadParameter("it is not UTF-8.", ctx, param)


def use_plain_params(params: list[Any]) -> list[Any]:
    """Give each parameter its plain reader; Typer looks for one before it builds an adapter."""
    for param in params:
        if getattr(param, "_runtime_param", None) is None:
            param._runtime_param = _PlainParam(param.type_descriptor.annotation)
    if COMPLETION_VARIABLE in os.environ:
        from conduit.cli.completing import offered  # noqa: PLC0415  # deferred: for a shell only

        for param in params:
            param._custom_shell_complete = offered
    return params


# `--watch=2s` is `--watch --every 2s`: an option with a value that may be left out.
_FLAGS_WITH_VALUE = {"--watch": "--every"}
# `--plot` by itself is `--plot bar`.
_USUAL_VALUES = {"--plot": "bar"}


class PlainCommand(typer.core.TyperCommand):
    """A command whose parameters are read without pydantic."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = [part for word in args for part in _spread(word)]
        return super().parse_args(ctx, _completed(words))

    def get_params(self, ctx: Any) -> list[Any]:
        return use_plain_params(super().get_params(ctx))


def _spread(word: str) -> list[str]:
    flag, separator, value = word.partition("=")
    if not separator or flag not in _FLAGS_WITH_VALUE:
        return [word]
    return [flag, _FLAGS_WITH_VALUE[flag], value]


def _completed(words: list[str]) -> list[str]:
    """The words with the usual value after each flag that stands there without one."""
    completed = []
    for at, word in enumerate(words):
        completed.append(word)
        alone = at + 1 == len(words) or words[at + 1].startswith("-")
        if alone and word in _USUAL_VALUES:
            completed.append(_USUAL_VALUES[word])
    return completed


class NounGroup(typer.core.TyperGroup):
    """The verbs of a noun, each built when it is needed."""

    def __init__(self, noun: "Noun", *, name: str) -> None:
        alone = noun.verbs[noun.default] if noun.default is not None else None
        by_default = build_command(alone, name) if alone is not None else None
        super().__init__(
            name=name,
            help=noun.help,
            params=by_default.params if by_default is not None else [],
            callback=_unless_named(by_default.callback) if by_default is not None else None,
            rich_markup_mode=None,
            no_args_is_help=by_default is None,
            invoke_without_command=by_default is not None,
            subcommand_metavar="[COMMAND]" if by_default is not None else "COMMAND [ARGS]...",
        )
        self._noun = noun

    def get_params(self, ctx: Any) -> list[Any]:
        return use_plain_params(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in self._noun.verbs if name != self._noun.default]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        noun = self._noun
        name = next((verb for verb, alias in _ALIASES.items() if alias == cmd_name), cmd_name)
        if cmd_name == "rm":
            name = "delete" if "delete" in noun.verbs else "remove"
        if name in noun.nested:
            return NounGroup(noun.nested[name], name=name)
        found = noun.verbs.get(name)
        return None if found is None else build_command(found, name, hidden=name != cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        subject_first = self._noun.subject_first and len(args) > 1
        if subject_first and self.get_command(ctx, args[0]) is None:
            args = [args[1], args[0], *args[2:]]
        # Typer looks for near misses among `commands`, which is empty here.
        if self.get_command(ctx, args[0]) is None:
            refuse_unknown_command(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def _unless_named(callback: Callable[..., None]) -> Callable[..., None]:
    """The default verb, which stays silent when another one has been named."""

    def run(**given: Any) -> None:
        if get_current_context().invoked_subcommand is None:
            callback(**given)

    return run


class Noun:
    """The commands of a module: several verbs under a noun, or one command of its own.

    `default` is the verb that runs when none is named. With `subject_first`, the first argument of
    the verbs may also stand before them: `providers credentials main list`.
    """

    def __init__(
        self, help: str, *, default: str | None = None, subject_first: bool = False
    ) -> None:
        self.help = help
        self.subject_first = subject_first
        self.default = default
        self.verbs: dict[str, Callable[..., None]] = {}
        self.nested: dict[str, Noun] = {}

    def nest(self, name: str, noun: "Noun") -> None:
        """Put the verbs of another noun below a name of this one."""
        self.nested[name] = noun
        self.verbs[name] = lambda: None

    def command(self, name: str) -> Any:
        """The command to run for the module, as the root group knows it."""
        alone = self.verbs.get("")
        return NounGroup(self, name=name) if alone is None else build_command(alone, name)


def build_command(function: Callable[..., None], name: str, *, hidden: bool = False) -> Any:
    """The Typer command of one declared function."""
    info = CommandInfo(
        name=name,
        callback=function,
        hidden=hidden,
        cls=PlainCommand,
        help=inspect.getdoc(function),
        context_settings=getattr(function, "context_settings", None),
    )
    return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)


def refuse_unknown_command(ctx: Any, given: str, known: list[str]) -> None:
    """Raise a Failure that names what may have been meant."""
    if given.startswith("-"):
        return
    from difflib import get_close_matches  # noqa: PLC0415  # deferred: only mistakes need it

    close = get_close_matches(given, known, n=3, cutoff=0.5)
    hint = f"did you mean: {', '.join(close)}?" if close else f"see: {ctx.command_path} --help"
    raise Failure(f"there is no command {given!r} in {ctx.command_path!r}", hint=hint)


def verb(
    noun: Noun,
    name: str = "",
    group: Group | None = None,
    *,
    bulk: bool = False,
    paged: bool | None = None,
    passes_on: bool = False,
    unasked: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare a command. The function gets a `Call`, then its own parameters.

    A `bulk` verb also takes `--filter`; one that is `paged`, as each `show` is, puts what is taller
    than the terminal into a pager; one that `passes_on` takes options it does not know among its
    arguments. One that is `unasked` takes `--yes` though it asks nothing, as its siblings do that
    ask. A function's own option takes the place of a shared one. A parameter of which the type is
    a dataclass stands for the options that its fields are.
    """
    with_pager = name == "show" if paged is None else paged

    def declare(function: Callable[..., None]) -> Callable[..., None]:
        declared = list(inspect.signature(function).parameters.values())[1:]
        own = [option for parameter in declared for option in _options_of(parameter)]
        shared = shared_options(own, group, bulk=bulk, paged=with_pager, unasked=unasked)

        def run(**given: Any) -> None:
            chosen = {option: given.pop(option) for option in shared}
            call = Call(call_options(chosen))
            try:
                with call.paged() if with_pager else nullcontext():
                    function(call, **{each.name: _value_of(each, given) for each in declared})
            except ClientError as error:
                error.add_note(call.gateway_name)  # shown beside the request's id
                if is_of_key(error) and error.hint is None:
                    call.tell_refused_key(error)
                raise

        parameters = [
            *(_keyword(parameter) for parameter in own),
            *(
                inspect.Parameter(
                    option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
                )
                for option, (annotation, default) in shared.items()
            ),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        if passes_on:
            run.context_settings = {"ignore_unknown_options": True}  # type: ignore[attr-defined]
        noun.verbs[name] = run
        return function

    return declare


def _stands_for_several(parameter: inspect.Parameter) -> bool:
    return is_dataclass(parameter.annotation)


def _options_of(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    if not _stands_for_several(parameter):
        return [parameter]
    return [*inspect.signature(parameter.annotation).parameters.values()]


def _value_of(parameter: inspect.Parameter, given: Mapping[str, Any]) -> Any:
    """What was given for a parameter of a function, or for the options that it stands for."""
    if not _stands_for_several(parameter):
        return given[parameter.name]
    options = _options_of(parameter)
    return parameter.annotation(**{option.name: given[option.name] for option in options})


def _keyword(parameter: inspect.Parameter) -> inspect.Parameter:
    if get_origin(parameter.annotation) is not Annotated:
        raise TypeError(f"{parameter.name} is not declared with typer.Option or typer.Argument")
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)

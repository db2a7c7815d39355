"""The themes; every text token stands out from every ground it is drawn on by 4.5 to 1."""

from collections.abc import Mapping

from textual.app import App
from textual.color import Color
from textual.theme import Theme

# What Textual itself draws: its cursors, borders and selections, in our tokens.
_GROUNDS = ("background", "surface", "panel")
_TINT = 0.15
_TEXTS = ("foreground", "good", "warn", "bad", "dim", "accent")


def strict_ground(tokens: Mapping[str, str]) -> str:
    """The ground of row 1 where names are to be typed."""
    return Color.parse(tokens["background"]).blend(Color.parse(tokens["warn"]), _TINT).hex


def _theme(name: str, *, dark: bool, tokens: Mapping[str, str]) -> Theme:
    return Theme(
        name=name,
        dark=dark,
        primary=tokens["accent"],
        secondary=tokens["accent"],
        accent=tokens["accent"],
        foreground=tokens["foreground"],
        background=tokens["background"],
        surface=tokens["surface"],
        panel=tokens["panel"],
        success=tokens["good"],
        warning=tokens["warn"],
        error=tokens["bad"],
        text_alpha=1.0,
        variables={
            "good": tokens["good"],
            "warn": tokens["warn"],
            "bad": tokens["bad"],
            "dim": tokens["dim"],
            "line": tokens["line"],
            "strict": strict_ground(tokens),
            "cursor": tokens["cursor"],
            "cursor-text": tokens["cursor-text"],
            "block-cursor-background": tokens["cursor"],
            "block-cursor-foreground": tokens["cursor-text"],
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-background": tokens["panel"],
            "block-cursor-blurred-foreground": tokens["foreground"],
            "border": tokens["accent"],
            "border-blurred": tokens["line"],
            "footer-key-foreground": tokens["accent"],
            "input-selection-background": f"{tokens['accent']} 40%",
            "scrollbar": tokens["line"],
            "scrollbar-hover": tokens["dim"],
            "scrollbar-active": tokens["accent"],
            "scrollbar-background": tokens["background"],
            "scrollbar-background-hover": tokens["background"],
            "scrollbar-background-active": tokens["background"],
            "scrollbar-corner-color": tokens["background"],
        },
    )


TOKENS: Mapping[str, Mapping[str, str]] = {
    "conduit-dark": {
        "background": "#11151c",
        "surface": "#171c25",
        "panel": "#222936",
        "foreground": "#d8dee9",
        "dim": "#98a3b6",
        "accent": "#6cc7d9",
        "good": "#8fce8a",
        "warn": "#e6c068",
        "bad": "#f58b86",
        "line": "#3b4557",
        "cursor": "#2c5666",
        "cursor-text": "#ffffff",
    },
    "conduit-light": {
        "background": "#fbfbf9",
        "surface": "#f2f3f1",
        "panel": "#e6e8e6",
        "foreground": "#22272e",
        "dim": "#555e69",
        "accent": "#0a5c70",
        "good": "#1d5f27",
        "warn": "#744900",
        "bad": "#a3211d",
        "line": "#b8bec4",
        "cursor": "#bfe0e8",
        "cursor-text": "#101418",
    },
    "high-contrast": {
        "background": "#000000",
        "surface": "#000000",
        "panel": "#1a1a1a",
        "foreground": "#ffffff",
        "dim": "#d0d0d0",
        "accent": "#5ce6ff",
        "good": "#6dff6d",
        "warn": "#ffe14d",
        "bad": "#ff9a94",
        "line": "#ffffff",
        "cursor": "#ffe14d",
        "cursor-text": "#000000",
    },
    # Good and bad differ in blue against orange and in brightness, which all common kinds of
    # colour blindness leave apart.
    "deuteranopia": {
        "background": "#10141a",
        "surface": "#161b22",
        "panel": "#222a35",
        "foreground": "#dde3ea",
        "dim": "#9aa5b5",
        "accent": "#c9b6f2",
        "good": "#7db8ff",
        "warn": "#f2e27a",
        "bad": "#ffa24d",
        "line": "#3d4757",
        "cursor": "#4a3d73",
        "cursor-text": "#ffffff",
    },
}


def _ansi() -> Theme:
    """The terminal's own sixteen colours: cheapest to draw, and as its owner set them."""
    return Theme(
        name="ansi",
        ansi=True,
        primary="ansi_cyan",
        secondary="ansi_cyan",
        accent="ansi_cyan",
        warning="ansi_yellow",
        error="ansi_red",
        success="ansi_green",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables={
            "good": "ansi_green",
            "warn": "ansi_yellow",
            "bad": "ansi_red",
            "dim": "ansi_default",
            "line": "ansi_bright_black",
            "strict": "ansi_default",
            "cursor": "ansi_cyan",
            "cursor-text": "ansi_black",
            "ansi-background": "ansi_black",
            "ansi-foreground": "ansi_white",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_cyan",
            "block-cursor-blurred-background": "ansi_default",
            "block-cursor-blurred-foreground": "ansi_default",
            "border": "ansi_cyan",
            "border-blurred": "ansi_bright_black",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-selection-background": "ansi_cyan",
            "input-selection-foreground": "ansi_black",
            "screen-selection-background": "ansi_cyan",
            "screen-selection-foreground": "ansi_black",
            "footer-key-foreground": "ansi_cyan",
            "scrollbar": "ansi_bright_black",
            "scrollbar-hover": "ansi_white",
            "scrollbar-active": "ansi_cyan",
            "scrollbar-background": "ansi_default",
            "scrollbar-background-hover": "ansi_default",
            "scrollbar-background-active": "ansi_default",
            "scrollbar-corner-color": "ansi_default",
        },
    )


THEMES: Mapping[str, Theme] = {
    **{
        name: _theme(name, dark=name != "conduit-light", tokens=tokens)
        for name, tokens in TOKENS.items()
    },
    "ansi": _ansi(),
}


def register_with(app: App[None]) -> None:
    """Let an application choose from them by name."""
    for theme in THEMES.values():
        app.register_theme(theme)


def text_pairs(name: str) -> list[tuple[str, str, str]]:
    """(what, colour of the text, colour of the ground) of all that a theme puts together."""
    tokens = {**TOKENS[name], "strict": strict_ground(TOKENS[name])}
    pairs = [
        (f"{text} on {ground}", tokens[text], tokens[ground])
        for text in _TEXTS
        for ground in (*_GROUNDS, "strict")
    ]
    return [*pairs, ("cursor", tokens["cursor-text"], tokens["cursor"])]

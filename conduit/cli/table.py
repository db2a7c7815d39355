"""The static table of commands: name, module, short help. `--help` needs nothing else."""

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("up", "Start a gateway on this machine; the first time, set it up"),
    "down": ("down", "Stop the gateway that `up` started"),
    "serve": ("serve", "Run a gateway in the foreground, for servers"),
    "status": ("status", "State of the gateway"),
    "doctor": ("doctor", "Check this machine and the gateway; `doctor ledger` checks the books"),
    "chat": ("chat", "Ask a model"),
    "embed": ("embed", "Vectors of texts, by a model that embeds"),
    "conversations": ("conversations", "Conversations with models, kept on this machine"),
    "logs": ("logs", "Request records: listed, shown, followed, exported"),
    "requests": ("requests", "Requests that are running now"),
    "events": ("events", "Events of the gateway, as they happen"),
    "keys": ("keys", "Virtual keys"),
    "groups": ("groups", "Groups of keys: shared models, limits, budgets, prepaid balance"),
    "budgets": ("budgets", "Budgets and what they have spent"),
    "limits": ("limits", "Every rate limit, whatever it belongs to"),
    "usage": ("usage", "What was used and spent"),
    "spend": ("spend", "Charges in doubt, after crashes and cut answers, and corrections"),
    "cache": ("cache", "Answers that are kept for the same request"),
    "providers": ("providers", "Providers and their credentials"),
    "models": ("models", "What clients may call, and whether it answers"),
    "mappings": ("mappings", "What clients call a model, and who serves it"),
    "route": ("route", "Where a request would go, and why"),
    "health": ("health", "How providers are doing"),
    "breakers": ("breakers", "Which targets are left out, and the operator's hand in it"),
    "security": ("security", "Who was refused at the door, and who may come from where"),
    "bans": ("bans", "Addresses whose wrong keys are put off"),
    "ip-filters": ("ip_filters", "From which addresses the gateway is used and administered"),
    "notifications": ("notifications", "What an operator should know, until it is acknowledged"),
    "prices": ("prices", "Prices of models"),
    "translate": ("translate", "What a request would become in another dialect, offline"),
    "config": ("config", "The gateway's settings"),
    "db": ("db", "The database: state, migration, backup, restore, another engine"),
    "context": ("context", "Gateways that this machine knows"),
    "auth": ("auth", "Master key: make, store, check"),
    "version": ("version", "Version of client and gateway"),
    "spec": ("spec", "The command tree, for programs"),
    "completion": ("completion", "Shell completion"),
    "tui": ("tui", "The terminal user interface, same as conduit-tui"),
    "open": ("open", "Open a page of the gateway in the browser"),
    "help": ("help", "Help on a command, or on exit-codes"),
}

HIDDEN: Mapping[str, tuple[str, str]] = {
    "costs": ("prices", "Same as prices"),
}
"""Names that are understood and not listed."""

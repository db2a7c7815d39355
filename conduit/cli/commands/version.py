"""`conduit version`: the versions of client and gateway."""

from conduit import __version__
from conduit.cli.call import Call
from conduit.cli.failures import Failure
from conduit.cli.output import Column, View
from conduit.cli.verbs import Noun, verb
from conduit.client.errors import ClientError

noun = Noun("Version of client and gateway.")
VIEW = View((Column("client", "client"), Column("gateway", "gateway")), id_path="client")


@verb(noun, "", "output")
def version(call: Call) -> None:
    """Show the version of this client, and of the gateway where it answers."""
    gateway = None
    try:
        gateway = call.fetch("status.show")["version"]
    except (ClientError, Failure) as error:
        call.console.say(f"the gateway's version is not known: {error}", "dim")
    call.printer.record({"client": __version__, "gateway": gateway}, VIEW)

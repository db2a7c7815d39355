"""What clients speak TLS with: whom they trust as a gateway."""

import ssl


def context_of(ca_file: str | None) -> ssl.SSLContext:
    """Trusts the usual authorities, or those in a file, and no others; reads files.

    A certificate in the file that is no authority's is trusted as itself. Raises OSError.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is not None:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

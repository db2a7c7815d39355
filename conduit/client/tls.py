"""What clients speak TLS with: whom they trust as a gateway, and what they show it."""

import errno
import ssl

from conduit.client.contexts import TlsFiles


def context_of(files: TlsFiles) -> ssl.SSLContext:
    """Trusts the usual authorities, or those in a file, and no others; reads the files.

    A certificate among the authorities that is none is trusted as itself. Raises OSError, which
    names the file.
    """
    try:
        context = ssl.create_default_context(cafile=files.ca_file)
    except OSError as error:
        raise _unusable(files.ca_file, "it holds no certificate in PEM", error) from error
    if files.ca_file is not None:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if files.certificate_file is not None:
        try:
            context.load_cert_chain(files.certificate_file, files.key_file, _no_passphrase)
        except (OSError, ValueError) as error:
            reason = "it cannot be used with its key"
            raise _unusable(files.certificate_file, reason, error) from error
    return context


def _unusable(file: str | None, reason: str, error: OSError | ValueError) -> OSError:
    missing = isinstance(error, OSError) and not isinstance(error, ssl.SSLError)
    said = error.strerror if missing and isinstance(error, OSError) else reason
    return OSError(errno.EINVAL, f"{file}: {said}")


def _no_passphrase() -> str:
    raise ValueError("it is encrypted")

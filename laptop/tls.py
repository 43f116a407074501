"""The stack's own certificate authority: every endpoint of the stack speaks TLS, and clients verify it for real."""

import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtensionOID

from laptop.stack import Stack

MARGIN = timedelta(days=1)  # a certificate that ends within a day is replaced at start, not in the middle of a run


def write_certificates(stack: Stack) -> None:
    """Make the authority and the server certificate of a stack, or keep those that still fit.

    The certificate names the stack's address and ``localhost``. The authority carries keyUsage and the certificate an
    authority key identifier: OpenSSL's strict mode, Python 3.13's default, refuses them otherwise.

    Args:
        stack: Says where the three PEM files belong, and for which address.
    """
    if _fits(stack):
        return
    authority = trustme.CA(organization_name="Refluent laptop")
    server = authority.issue_cert(stack.address, "localhost")
    chain = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    _write(stack.private_key, server.private_key_pem.bytes())
    _write(stack.certificate, chain)
    _write(stack.authority, authority.cert_pem.bytes())


def client_context(stack: Stack) -> ssl.SSLContext:
    """TLS settings of a client that trusts this stack's authority and nobody else.

    Raises:
        FileNotFoundError: `write_certificates` has not run for this stack.
    """
    return ssl.create_default_context(cafile=stack.authority)


def _fits(stack: Stack) -> bool:
    """Whether the files are there, belong together, are still valid, and name the stack's address."""
    try:
        authority = x509.load_pem_x509_certificate(stack.authority.read_bytes())
        server = x509.load_pem_x509_certificate(stack.certificate.read_bytes())
        server.verify_directly_issued_by(authority)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(stack.certificate, stack.private_key)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return _addresses(server) == {stack.address} and datetime.now(UTC) + MARGIN < server.not_valid_after_utc


def _addresses(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
    if not isinstance(names, x509.SubjectAlternativeName):
        return set()
    return {str(address) for address in names.get_values_for_type(x509.IPAddress) if _is_address(address)}


def _is_address(value: object) -> bool:
    return isinstance(value, ipaddress.IPv4Address | ipaddress.IPv6Address)


def _write(path: Path, content: bytes) -> None:
    """Write atomically, readable by the owner only: one of the files is a private key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(path)

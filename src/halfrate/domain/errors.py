"""Every error halfrate raises.

::

    HalfrateError
    ├── IllegalTransition     a Job was asked to take a step its state does not allow
    ├── LeaseLost             another worker holds the Shard now
    ├── EngineBroken          an Engine cannot load its model
    ├── CorruptData           stored bytes do not match their checksum or count
    ├── ConfigError           a setting is wrong
    ├── Unreachable           no server answers at the address, or it stopped answering
    └── Refusal               a client's call cannot be done; a dialect turns it into its own error
        ├── InvalidArgument
        ├── NotFound
        ├── Forbidden
        ├── AlreadyExists
        ├── FailedPrecondition
        ├── ResourceExhausted
        ├── Unimplemented
        ├── TooSlow
        └── Unavailable

Raise for broken promises and refused calls; expected failures of single Requests are values
(`halfrate.domain.outcome.Failed`).
"""

from __future__ import annotations


class HalfrateError(Exception):
    """Anything halfrate raises on purpose. The message says what happened, where, and what next."""


class IllegalTransition(HalfrateError):
    """A Job was asked to take a step its state does not allow."""


class LeaseLost(HalfrateError):
    """The Lease used is not the newest of its Shard: another worker holds it, or the Job has ended."""


class EngineBroken(HalfrateError):
    """An Engine cannot load its model."""


class CorruptData(HalfrateError):
    """Stored bytes do not match their checksum or their count."""


class ConfigError(HalfrateError):
    """A setting is wrong."""


class Unreachable(HalfrateError):
    """No server answers at the address, or it stopped answering half-way."""


class Refusal(HalfrateError):
    """A client's call cannot be done."""


class InvalidArgument(Refusal):
    """The call is malformed, or a value in it is out of bounds.

    ``violations`` are (field path in snake_case, description) pairs, empty when no field is to blame.
    """

    def __init__(self, message: str, violations: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.violations = violations


class NotFound(Refusal):
    """The thing named does not exist."""


class Forbidden(Refusal):
    """The caller may not see the thing named, or it does not exist."""


class AlreadyExists(Refusal):
    """The chosen name is taken."""


class FailedPrecondition(Refusal):
    """The thing named is not in a state that allows the call."""


class ResourceExhausted(Refusal):
    """A quota or a bound is reached."""


class Unimplemented(Refusal):
    """The call is part of the protocol, and this server does not do it."""


class TooSlow(Refusal):
    """The client's bytes came too slowly, or not at all."""


class Unavailable(Refusal):
    """Nothing can answer now; later may do."""

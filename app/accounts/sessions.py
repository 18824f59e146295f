"""Logins: an access token for a quarter of an hour, and refresh tokens that are used once and replaced.

Two tabs refresh at the same moment, and an answer is lost on the way: both look like a stolen token. So a token that is
sent again within REPEATABLE of its first use gets the same pair again. That pair is not stored: the refresh token is
derived from the one before it with SECRET_KEY, the access token from both and the moment of the first use, which is.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from app.accounts import people
from app.accounts.codes import derive, digest, new_secret
from app.accounts.guard import Guard
from app.accounts.models import LoginSession, RefreshToken, UserAccount
from app.accounts.problems import EmailNotVerified, InvalidCredentials, InvalidRefreshToken
from app.accounts.schemas import Login, Password, TokenPair
from app.kit import audit
from app.kit.actor import Actor, Role
from app.kit.database import Database
from app.kit.hashing import PasswordHasher
from app.kit.models import now
from app.kit.pagination import Page, Paging
from app.kit.prepared import Prepared
from app.kit.problems import Forbidden, NotFound, Problem
from app.kit.tokens import Claims, InvalidToken, Tokens
from app.settings import Settings

T = TypeVar("T")

ATTEMPTS = 2
"""Of a login whose password is stored anew (not changed: hashed with better parameters) at the same moment."""

REPEATABLE = timedelta(seconds=30)
"""After its first use a refresh token gives the same pair again; longer than a client waits for an answer and asks
again."""

ROLE = Prepared(
    select(col(UserAccount.role))
    .join(LoginSession, col(LoginSession.account_id) == col(UserAccount.id))
    .where(
        col(LoginSession.id) == bindparam("session_id"),
        col(LoginSession.revoked_at).is_(None),
        col(LoginSession.expires_at) > bindparam("at"),
        col(UserAccount.id) == bindparam("account_id"),
        col(UserAccount.is_active),
    ),
    Role,
)
"""Of an active account in a session that has not ended; every request asks for it."""

ORDER: Any = (col(LoginSession.created_at), col(LoginSession.id))


@dataclass(frozen=True, slots=True)
class Device:
    """Where a request comes from."""

    user_agent: str
    address: str


class Sessions:
    """Begins, continues and ends logins."""

    def __init__(
        self, settings: Settings, *, database: Database, hasher: PasswordHasher, tokens: Tokens, guard: Guard
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._guard = guard
        self._key = settings.secret_key.get_secret_value()
        self._lifetime = timedelta(days=settings.refresh_token_days)
        self._verification_required = settings.email_verification_required

    async def log_in(self, email: str, password: Password, device: Device) -> TokenPair:
        """Check the credentials and begin a session.

        Raises:
            TooManyRequests: too many failures for this account from this address.
            InvalidCredentials: they are wrong, or the account is inactive.
            EmailNotVerified: they are right, but the address has to be verified first.
            Overloaded: too many logins are waiting.
            DatabaseUnavailable: it could not be read or written in time.
        """
        async with self._guard.guess(email, device.address, client=device.address):
            for _ in range(ATTEMPTS):
                outcome = await self._try(email, password.get_secret_value(), device)
                if isinstance(outcome, TokenPair):
                    return outcome
                if isinstance(outcome, Problem):
                    raise outcome
            raise InvalidCredentials

    async def _try(self, email: str, password: str, device: Device) -> TokenPair | Problem | None:
        """One read, one hash, one write, whether there is such an account or not. None: it has to be repeated."""
        found = await self._database.read(lambda session: people.by_email(session, email))
        matches, better = await self._hasher.verify_and_update(password, found.password_hash if found else None)
        seen = found.password_hash if found is not None and matches else None
        refresh_token = new_secret()

        def begin(session: Session) -> LoginSession | Problem | None:
            # Read again: it may have changed while the password was compared.
            account = session.get(UserAccount, found.id) if found else None
            if account is None or not account.is_active or seen is None:
                audit.record(session, "login.failed", actor_id=None, subject_id=account.id if account else None)
                return InvalidCredentials()
            if account.password_hash != seen:
                return None
            account.password_hash = better or seen
            if self._verification_required and not account.email_verified:
                audit.record(session, "login.failed", actor_id=None, subject_id=account.id, reason="not verified")
                return EmailNotVerified()
            audit.record(session, "login.succeeded", actor_id=account.id, subject_id=account.id)
            return self._begin(session, account.id, device, refresh_token)

        # The failures are returned, not raised: what is in the audit log must stay.
        outcome = await self._database.write(begin)
        return self._pair(outcome, refresh_token) if isinstance(outcome, LoginSession) else outcome

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Replace a refresh token by a new pair, the same one within REPEATABLE.

        One that was used before that is stolen: its session ends.

        Raises:
            InvalidRefreshToken: unknown, used, expired or revoked.
            DatabaseUnavailable: it could not be written in time.
        """
        following = derive(self._key, "refresh token", refresh_token)
        rotation = await self._database.write(lambda session: self._rotate(session, refresh_token, following))
        if rotation is None:
            raise InvalidRefreshToken
        login, at = rotation
        return self._pair(login, following, at=at)

    async def read_as(self, claims: Claims, roles: Collection[Role], work: Callable[[Session, Actor], T]) -> T:
        """Make sure who sends a request, and do `work(session, actor)` in the same transaction, which cannot write.

        Raises:
            InvalidToken: the session has ended, or the account is gone or inactive.
            Forbidden: it has none of the `roles`.
            DatabaseUnavailable: it could not be read in time.
        """

        def unit(session: Session) -> T:
            found = ROLE.rows(session, account_id=claims.account_id, session_id=claims.session_id, at=now())
            if not found:
                raise InvalidToken
            if found[0] not in roles:
                raise Forbidden
            return work(session, Actor(claims.account_id, found[0], claims.session_id))

        return await self._database.read(unit)

    async def own(self, actor: Actor, paging: Paging) -> Page[Login]:
        """The actor's sessions that have not ended, the newest first."""
        rows, cursor = await self._database.read(
            lambda session: paging.page(
                session,
                _living(actor.id),
                ORDER,
                lambda login: (login.created_at, login.id),
                descending=True,
            )
        )
        return Page(items=[as_login(login, actor) for login in rows], next_cursor=cursor)

    async def end(self, actor: Actor, session_id: str) -> None:
        """End one of the actor's sessions.

        Raises:
            NotFound: it is not theirs, or has ended.
        """

        def work(session: Session) -> None:
            if not revoke(session, actor.id, only=session_id):
                raise NotFound
            audit.record(session, "session.ended", actor_id=actor.id, subject_id=actor.id)

        await self._database.write(work)

    async def log_out(self, actor: Actor) -> None:
        """End the session that the request comes from; nothing if it has just ended."""

        def work(session: Session) -> None:
            revoke(session, actor.id, only=actor.session_id)
            audit.record(session, "session.ended", actor_id=actor.id, subject_id=actor.id)

        await self._database.write(work)

    async def log_out_everywhere(self, actor: Actor) -> None:
        """End all of the actor's sessions, this one too."""

        def work(session: Session) -> None:
            revoke(session, actor.id)
            audit.record(session, "session.all_ended", actor_id=actor.id, subject_id=actor.id)

        await self._database.write(work)

    def _begin(self, session: Session, account_id: str, device: Device, refresh_token: str) -> LoginSession:
        login = LoginSession(
            account_id=account_id,
            user_agent=device.user_agent,
            address=device.address,
            expires_at=now() + self._lifetime,
        )
        session.add(login)
        session.flush()
        session.add(RefreshToken(token_hash=digest(refresh_token), session_id=login.id))
        return login

    def _rotate(self, session: Session, refresh_token: str, following: str) -> tuple[LoginSession, datetime] | None:
        """Replace the token by `following`; returns its session and the moment of the token's first use.

        Returns None instead of raising: that a session is revoked has to be committed.
        """
        at = now()
        used = session.get(RefreshToken, digest(refresh_token))
        login = session.get_one(LoginSession, used.session_id) if used else None
        if used is None or login is None or login.revoked_at is not None or login.expires_at <= at:
            return None
        if not session.get_one(UserAccount, login.account_id).is_active:
            return None
        if not _take(session, used.token_hash, at):
            session.refresh(used)  # it may have been taken after it was read
            if used.used_at is not None and _is_repetition(session, used.used_at, at, following):
                return login, used.used_at
            login.revoked_at = at
            audit.record(session, "session.token_reused", actor_id=None, subject_id=login.account_id)
            return None
        login.used_at, login.expires_at = at, at + self._lifetime
        _forget_used(session, login.id, before=at - self._lifetime)
        session.add(RefreshToken(token_hash=digest(following), session_id=login.id))
        return login, at

    def _pair(self, login: LoginSession, refresh_token: str, *, at: datetime | None = None) -> TokenPair:
        """The pair whose lifetime began `at`, None for now; the same pair each time if that is given."""
        begun = at or now()
        elapsed = max(0, int((now() - begun).total_seconds()))
        return TokenPair(
            access_token=self._tokens.issue(
                login.account_id,
                login.id,
                at=begun.timestamp(),
                identifier=derive(self._key, "access token", refresh_token),
            ),
            expires_in=self._tokens.lifetime - elapsed,
            refresh_token=refresh_token,
            refresh_expires_in=int(self._lifetime.total_seconds()) - elapsed,
        )


def as_login(login: LoginSession, actor: Actor) -> Login:
    """What the owner sees of a session."""
    return Login(**login.model_dump(), current=login.id == actor.session_id)


def revoke(session: Session, account_id: str, *, only: str | None = None, but: str | None = None) -> int:
    """End an account's sessions: all, `only` one, or all `but` one; returns how many have ended by this."""
    of_account = update(LoginSession).where(
        col(LoginSession.account_id) == account_id,
        col(LoginSession.revoked_at).is_(None),
        col(LoginSession.expires_at) > now(),
    )
    if only is not None:
        of_account = of_account.where(col(LoginSession.id) == only)
    if but is not None:
        of_account = of_account.where(col(LoginSession.id) != but)
    return session.connection().execute(of_account.values(revoked_at=now())).rowcount


def newest(session: Session, account_id: str, limit: int) -> list[LoginSession]:
    """The account's sessions that have not ended, the newest first."""
    return list(session.exec(_living(account_id).order_by(col(LoginSession.created_at).desc()).limit(limit)))


def _living(account_id: str) -> SelectOfScalar[LoginSession]:
    return select(LoginSession).where(
        LoginSession.account_id == account_id,
        col(LoginSession.revoked_at).is_(None),
        LoginSession.expires_at > now(),
    )


def _take(session: Session, token_hash: str, at: datetime) -> bool:
    """Use the token; of several who try at the same moment one gets it."""
    unused = (col(RefreshToken.token_hash) == token_hash, col(RefreshToken.used_at).is_(None))
    return session.connection().execute(update(RefreshToken).where(*unused).values(used_at=at)).rowcount == 1


def _is_repetition(session: Session, used_at: datetime, at: datetime, following: str) -> bool:
    """Whether a token that was used at `used_at` may be used again, for the same successor.

    The successor is another one where SECRET_KEY has changed meanwhile, or a release before this one has made it.
    """
    return at - used_at < REPEATABLE and session.get(RefreshToken, digest(following)) is not None


def _forget_used(session: Session, session_id: str, *, before: datetime) -> None:
    """Delete tokens that would have expired by now, so that a session in use does not grow for ever."""
    session.connection().execute(
        delete(RefreshToken).where(
            col(RefreshToken.session_id) == session_id,
            col(RefreshToken.used_at) < before,
        )
    )

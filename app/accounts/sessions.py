"""Login sessions with short-lived access tokens and rotating refresh tokens.

Two tabs that refresh at once, or a lost answer, look like the use of a stolen token. Therefore a refresh token that is
sent again within REFRESH_REPEAT_WINDOW of its first use returns the same pair of tokens. The pair is not stored: the
new refresh token is derived from the old one with SECRET_KEY, and the access token from the new refresh token and the
stored time of the first use.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, update
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from app.accounts import people
from app.accounts.codes import derive_secret, digest, new_secret
from app.accounts.guard import AbuseGuard
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

LOGIN_ATTEMPTS = 2
"""A login is repeated if a simultaneous one has replaced the stored hash with a stronger hash of the same password."""

REFRESH_REPEAT_WINDOW = timedelta(seconds=30)
"""Time in which a used refresh token returns the same pair again. Longer than a client's time-out before it retries."""

ROLE_QUERY = Prepared(
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
"""Role of an active account in an active session. Every authenticated request runs this query."""

SORT_COLUMNS: Any = (col(LoginSession.created_at), col(LoginSession.id))


@dataclass(frozen=True, slots=True)
class Device:
    """The device that sends a request."""

    user_agent: str
    address: str


class Sessions:
    """Starts, refreshes and ends login sessions."""

    def __init__(
        self, settings: Settings, *, database: Database, hasher: PasswordHasher, tokens: Tokens, guard: AbuseGuard
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._guard = guard
        self._key = settings.secret_key.get_secret_value()
        self._lifetime = timedelta(days=settings.refresh_token_days)
        self._verification_required = settings.email_verification_required

    async def log_in(self, email: str, password: Password, device: Device) -> TokenPair:
        """Check the credentials and start a session.

        Raises:
            TooManyRequests: too many failures for this account and client, or for this client.
            InvalidCredentials: the credentials are wrong, or the account is inactive.
            EmailNotVerified: the credentials are right, but the e-mail address must be verified first.
            Overloaded: too many logins are waiting.
            DatabaseUnavailable: the database did not answer in time.
        """
        async with self._guard.limit_guesses(email, device.address, client=device.address):
            for _ in range(LOGIN_ATTEMPTS):
                outcome = await self._attempt_login(email, password.get_secret_value(), device)
                if isinstance(outcome, TokenPair):
                    return outcome
                if isinstance(outcome, Problem):
                    raise outcome
            raise InvalidCredentials

    async def _attempt_login(self, email: str, password: str, device: Device) -> TokenPair | Problem | None:
        """Do one read, one hash and one write, so that the duration does not reveal whether the account exists.

        Returns:
            The tokens, or the error to raise; None if the login must be repeated.
        """
        found = await self._database.read(lambda session: people.by_email(session, email))
        matches, better = await self._hasher.verify_and_update(password, found.password_hash if found else None)
        seen = found.password_hash if found is not None and matches else None
        refresh_token = new_secret()

        def begin(session: Session) -> LoginSession | Problem | None:
            # Read again, because the account may have changed while the password was compared.
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

        # The errors are returned, not raised, so that the audit log entry is committed.
        outcome = await self._database.write(begin)
        return self._pair(outcome, refresh_token) if isinstance(outcome, LoginSession) else outcome

    async def refresh(self, refresh_token: str) -> TokenPair:
        """Replace a refresh token with a new pair. A repetition within REFRESH_REPEAT_WINDOW returns the same pair.

        A later use is treated as the use of a stolen token and ends the session.

        Raises:
            InvalidRefreshToken: the token is unknown, used, expired or revoked.
            DatabaseUnavailable: the database did not answer in time.
        """
        successor = derive_secret(self._key, "refresh token", refresh_token)
        rotation = await self._database.write(lambda session: self._rotate(session, refresh_token, successor))
        if rotation is None:
            raise InvalidRefreshToken
        login, at = rotation
        return self._pair(login, successor, at=at)

    async def read_as(self, claims: Claims, roles: Collection[Role], work: Callable[[Session, Actor], T]) -> T:
        """Authenticate the claims, and run `work(session, actor)` in the same read-only transaction.

        Raises:
            InvalidToken: the session has ended, or the account does not exist or is inactive.
            Forbidden: the account has none of the `roles`.
            DatabaseUnavailable: the database did not answer in time.
        """

        def authenticated_work(session: Session) -> T:
            found = ROLE_QUERY.rows(session, account_id=claims.account_id, session_id=claims.session_id, at=now())
            if not found:
                raise InvalidToken
            if found[0] not in roles:
                raise Forbidden
            return work(session, Actor(claims.account_id, found[0], claims.session_id))

        return await self._database.read(authenticated_work)

    async def list_own(self, actor: Actor, paging: Paging) -> Page[Login]:
        """Return one page of the actor's active sessions, newest first."""
        rows, cursor = await self._database.read(
            lambda session: paging.page(
                session,
                _active_sessions(actor.id),
                SORT_COLUMNS,
                lambda login: (login.created_at, login.id),
                descending=True,
            )
        )
        return Page(items=[as_login(login, actor) for login in rows], next_cursor=cursor)

    async def end(self, actor: Actor, session_id: str) -> None:
        """End one of the actor's sessions.

        Raises:
            NotFound: the session belongs to another account, or has ended.
        """

        def work(session: Session) -> None:
            if not revoke(session, actor.id, only=session_id):
                raise NotFound
            audit.record(session, "session.ended", actor_id=actor.id, subject_id=actor.id)

        await self._database.write(work)

    async def log_out(self, actor: Actor) -> None:
        """End the session of the request."""

        def work(session: Session) -> None:
            revoke(session, actor.id, only=actor.session_id)
            audit.record(session, "session.ended", actor_id=actor.id, subject_id=actor.id)

        await self._database.write(work)

    async def log_out_everywhere(self, actor: Actor) -> None:
        """End all sessions of the actor, including that of the request."""

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

    def _rotate(self, session: Session, refresh_token: str, successor: str) -> tuple[LoginSession, datetime] | None:
        """Replace the token with `successor`, and return the session and the time of the token's first use.

        Returns None instead of raising an error, so that the revocation of a session is committed.
        """
        at = now()
        used = session.get(RefreshToken, digest(refresh_token))
        login = session.get_one(LoginSession, used.session_id) if used else None
        if used is None or login is None or login.revoked_at is not None or login.expires_at <= at:
            return None
        if not session.get_one(UserAccount, login.account_id).is_active:
            return None
        if not _mark_used(session, used.token_hash, at):
            session.refresh(used)  # a simultaneous request may have used it after it was read
            if used.used_at is not None and _is_repeated_refresh(session, used.used_at, at, successor):
                return login, used.used_at
            login.revoked_at = at
            audit.record(session, "session.token_reused", actor_id=None, subject_id=login.account_id)
            return None
        login.used_at, login.expires_at = at, at + self._lifetime
        _delete_used_tokens(session, login.id, before=at - self._lifetime)
        session.add(RefreshToken(token_hash=digest(successor), session_id=login.id))
        return login, at

    def _pair(self, login: LoginSession, refresh_token: str, *, at: datetime | None = None) -> TokenPair:
        """Build the pair of tokens whose lifetime began `at`, None for now. The same `at` gives the same pair."""
        issued_at = at or now()
        elapsed = max(0, int((now() - issued_at).total_seconds()))
        return TokenPair(
            access_token=self._tokens.issue(
                login.account_id,
                login.id,
                at=issued_at.timestamp(),
                identifier=derive_secret(self._key, "access token", refresh_token),
            ),
            expires_in=self._tokens.lifetime - elapsed,
            refresh_token=refresh_token,
            refresh_expires_in=int(self._lifetime.total_seconds()) - elapsed,
        )


def as_login(login: LoginSession, actor: Actor) -> Login:
    """Convert a session for its user."""
    return Login(**login.model_dump(), current=login.id == actor.session_id)


def revoke(session: Session, account_id: str, *, only: str | None = None, keep: str | None = None) -> int:
    """End the active sessions of an account, and return how many.

    Args:
        session: a session of a write transaction.
        account_id: the account.
        only: id of the only session to end; None for all sessions.
        keep: id of a session that continues.
    """
    of_account = update(LoginSession).where(
        col(LoginSession.account_id) == account_id,
        col(LoginSession.revoked_at).is_(None),
        col(LoginSession.expires_at) > now(),
    )
    if only is not None:
        of_account = of_account.where(col(LoginSession.id) == only)
    if keep is not None:
        of_account = of_account.where(col(LoginSession.id) != keep)
    return session.connection().execute(of_account.values(revoked_at=now())).rowcount


def newest(session: Session, account_id: str, limit: int) -> list[LoginSession]:
    """Return at most `limit` active sessions of the account, newest first."""
    return list(session.exec(_active_sessions(account_id).order_by(col(LoginSession.created_at).desc()).limit(limit)))


def _active_sessions(account_id: str) -> SelectOfScalar[LoginSession]:
    return select(LoginSession).where(
        LoginSession.account_id == account_id,
        col(LoginSession.revoked_at).is_(None),
        LoginSession.expires_at > now(),
    )


def _mark_used(session: Session, token_hash: str, at: datetime) -> bool:
    """Mark the token as used. Only one of several simultaneous calls returns True."""
    unused = (col(RefreshToken.token_hash) == token_hash, col(RefreshToken.used_at).is_(None))
    return session.connection().execute(update(RefreshToken).where(*unused).values(used_at=at)).rowcount == 1


def _is_repeated_refresh(session: Session, used_at: datetime, at: datetime, successor: str) -> bool:
    """Whether a token first used at `used_at` can be used again, for the same successor.

    The stored successor differs if SECRET_KEY has changed, or if an older release has issued it.
    """
    return at - used_at < REFRESH_REPEAT_WINDOW and session.get(RefreshToken, digest(successor)) is not None


def _delete_used_tokens(session: Session, session_id: str, *, before: datetime) -> None:
    """Delete used tokens older than the lifetime of a session, so that a long session does not collect rows."""
    session.connection().execute(
        delete(RefreshToken).where(
            col(RefreshToken.session_id) == session_id,
            col(RefreshToken.used_at) < before,
        )
    )

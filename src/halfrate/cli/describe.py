"""A Job in words, and as the JSON that `--json` prints. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from halfrate.client.views import JobView


def job_document(job: JobView) -> dict[str, Any]:
    """Return a Job as ``--json`` shows it. Costs are exact decimal strings; unknown values are null."""
    usage = job.usage
    return {
        "name": job.name,
        "displayName": job.display_name,
        "model": job.model,
        "state": job.state,
        "requests": job.counts.requests,
        "succeeded": job.counts.succeeded,
        "failed": job.counts.failed,
        "pending": job.counts.pending,
        "createTime": job.created,
        "endTime": job.ended,
        "deadline": job.deadline,
        "retryOf": job.retry_of,
        "resultsFile": job.responses_file,
        "resultsExpireTime": job.results_expire,
        "waitingCode": job.waiting_code,
        "waitingReason": job.waiting,
        "etaSeconds": job.eta_seconds,
        "etaEarliest": job.eta_earliest,
        "etaLatest": job.eta_latest,
        "promisedBy": job.promise.by if job.promise else None,
        "promiseHolds": job.promise.holds if job.promise else None,
        "promiseReason": job.promise.reason if job.promise else None,
        "inputTokens": usage.input_tokens if usage else None,
        "cachedTokens": usage.cached_tokens if usage else None,
        "outputTokens": usage.output_tokens if usage else None,
        "costUsd": _exact(job.cost_usd),
        "interactiveCostUsd": _exact(job.interactive_cost_usd),
        "error": {"code": job.error.code, "message": job.error.message} if job.error else None,
    }


def status_line(job: JobView, *, requests_per_second: float | None) -> str:
    """Return how a Job stands, in one line."""
    parts = [job.state, progress(job)]
    if not job.final:
        if requests_per_second:
            parts.append(f"{requests_per_second:.1f}/s")
        if job.eta_seconds is not None:
            parts.append(f"about {span(job.eta_seconds)} left{_range(job)}")
        if job.waiting:
            parts.append(f"waiting: {job.waiting.rstrip('.')}")
        if job.deadline:
            parts.append(f"expires {minute(job.deadline)}")
        if late := lateness(job):
            parts.append(late)
    parts += money_and_tokens(job)
    return ", ".join(parts)


def progress(job: JobView) -> str:
    """Return how many Requests have their Result."""
    if not job.counts.requests:
        return "requests not counted yet"
    done = job.counts.succeeded + job.counts.failed
    failed = f" ({job.counts.failed:,} with errors)" if job.counts.failed else ""
    return f"{done:,} of {job.counts.requests:,} done{failed}"


def lateness(job: JobView) -> str | None:
    """Return a clause about a promise that does not hold, None about any other."""
    promise = job.promise
    if promise is None or promise.holds is not False:
        return None
    reason = f" ({promise.reason.rstrip('.')})" if promise.reason else ""
    return f"LATE for {instant(promise.by)} UTC{reason}"


def instant(text: str) -> str:
    """Shorten an instant of the wire to what a person looks for."""
    return text[:16].replace("T", " ")


def _range(job: JobView) -> str:
    if job.eta_earliest is None or job.eta_latest is None:
        return ""
    length = 19 if (job.eta_seconds or 0) < 3_600 else 16  # with or without seconds
    earliest, latest = (text[:length].replace("T", " ") for text in (job.eta_earliest, job.eta_latest))
    if earliest[:10] == latest[:10]:
        earliest, latest = earliest[11:], latest[11:]
    return f" ({earliest} to {latest} UTC)"


def money_and_tokens(job: JobView) -> list[str]:
    """Return tokens and cost so far, as far as the server says."""
    parts = []
    if job.usage and job.usage.total_tokens:
        share = job.usage.cached_tokens / max(1, job.usage.input_tokens)
        cached = f" ({job.usage.cached_tokens:,} cached: {share:.0%})" if job.usage.cached_tokens else ""
        parts.append(f"{job.usage.input_tokens:,}{cached} + {job.usage.output_tokens:,} tokens")
    if job.cost_usd:
        saving = ""
        if job.interactive_cost_usd is not None and job.interactive_cost_usd > job.cost_usd:
            saving = f" (interactive {dollars(job.interactive_cost_usd)}: "
            saving += f"{dollars(job.interactive_cost_usd - job.cost_usd)} saved)"
        parts.append(f"{dollars(job.cost_usd)}{saving}")
    return parts


def minute(instant: str) -> str:
    """Write an instant of the wire for people: ``2026-12-31 08:00 UTC``."""
    return f"{instant[:16].replace('T', ' ')} UTC"


def dollars(amount: Decimal) -> str:
    """Write an amount of money: cents from a dollar up, as many digits as it needs below."""
    return f"${amount:.2f}" if amount >= 1 else f"${amount:.6f}"


def span(seconds: float) -> str:
    """Write a time span: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _exact(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"

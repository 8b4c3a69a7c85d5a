use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::HeaderName};
use chrono::{DateTime, Utc};
use expiry_core::{Buys, Missing, Paid, Payment, Pending, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    subscribers::{AccessView, devices, positive, tenant, writable},
    times, unknown,
};
use crate::{
    answers::{Guarded, WithBody},
    extract::Body,
    problem::Problem,
    state::Inner,
};

/// A payment: exactly one of `seconds` and `until`.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPayment)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    /// What tells this payment from every other to the same tenant, such as the number of a receipt. No
    /// control characters.
    #[schema(min_length = 1, max_length = 200)]
    reference: String,
    /// Who gets what was bought, by its name on the router.
    #[schema(min_length = 1)]
    username: String,
    /// Added to an end that is still ahead, else to now.
    #[schema(minimum = 1, maximum = 3_155_760_000u64)]
    seconds: Option<u64>,
    /// The new end: ahead, and not before the end that access has already.
    #[serde(default, deserialize_with = "times::maybe")]
    until: Option<DateTime<Utc>>,
    /// The tenant's slug.
    tenant: Option<String>,
    /// Whether a subscriber whom nobody knows is made.
    #[serde(default)]
    create: bool,
    /// The MACs of devices that the subscriber has from now on, besides those that it has.
    #[serde(default)]
    devices: Vec<String>,
    /// Anything worth keeping; the audit shows it.
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// A payment that was taken. All but `delivery` stays the same when it is sent again.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment)]
pub(crate) struct Taken {
    reference: String,
    /// When it was taken first.
    at: DateTime<Utc>,
    /// The tenant's slug.
    tenant: Option<String>,
    username: String,
    /// The subscriber's number.
    subscriber: i64,
    /// Whether the subscriber was made for it.
    made: bool,
    /// The access before.
    from: AccessView,
    /// The access after.
    access: AccessView,
    /// The revision after.
    revision: i64,
    delivery: Delivery,
}

/// Whether the routers know of the access.
#[derive(Serialize, ToSchema)]
struct Delivery {
    /// True if no router has anything left to give back, and none is down.
    done: bool,
    /// The routers on which the subscriber may not be online yet; a moment later they may be done.
    pending: Vec<PendingView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PendingRouter)]
struct PendingView {
    /// Its name.
    router: String,
    /// Whether something that was disabled there is still to be given back.
    restore_owed: bool,
    /// Since when it does not answer.
    down_since: Option<DateTime<Utc>>,
}

impl From<Pending> for PendingView {
    fn from(pending: Pending) -> Self {
        Self {
            router: pending.router,
            restore_owed: pending.restore_owed,
            down_since: pending.down_since,
        }
    }
}

impl Taken {
    fn of(payment: &Payment, tenant: Option<String>, paid: Paid) -> Self {
        let Paid {
            receipt, pending, ..
        } = paid;
        Self {
            reference: payment.reference.as_str().into(),
            at: receipt.at,
            tenant,
            username: payment.username.as_str().into(),
            subscriber: receipt.subscriber.0,
            made: receipt.made,
            from: receipt.from.into(),
            access: receipt.to.into(),
            revision: receipt.revision.0,
            delivery: Delivery {
                done: pending.is_empty(),
                pending: pending.into_iter().map(Into::into).collect(),
            },
        }
    }
}

/// Tells whether the answer is one that was given before.
const REPEATED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Takes a payment, once.
///
/// The time is added exactly once for each tenant and `reference`, for as long as the audit is kept: a
/// provider may send the same as often as it likes, at once or after a failure, and gets the same answer.
/// Something else under the same reference is refused.
#[utoipa::path(
    post,
    path = "/payments",
    operation_id = "take_payment",
    tag = "v1",
    request_body = New,
    security(("admin_token" = []), ("admin_access" = []), ("bearer" = [])),
    responses(
        (status = OK, description = "It was taken, now or before.", body = Taken, headers(("Idempotency-Replayed" = bool, description = "Whether it was taken before, and nothing was added now."))),
        (status = BAD_REQUEST, description = "The body is wrong.", body = Problem, content_type = "application/problem+json"),
        (status = NOT_FOUND, description = "No such tenant, or no such subscriber and `create` is not true.", body = Problem, content_type = "application/problem+json"),
        (status = CONFLICT, description = "Another payment has the reference, access goes on for longer already, a device is taken, or the name is known in a tenant and none was given. Nothing was added.", body = Problem, content_type = "application/problem+json"),
        Guarded,
        WithBody,
    )
)]
pub(crate) async fn pay(
    State(app): State<Arc<Inner>>,
    Body(new): Body<New>,
) -> Result<([(HeaderName, &'static str); 1], Json<Taken>), Problem> {
    let directory = &*app.service.directory;
    let payment = payment(&new)?;
    let tenant = tenant(directory, new.tenant.as_deref()).await?;
    let payment = Payment {
        tenant: tenant.as_ref().map(|tenant| tenant.id),
        ..payment
    };
    let paid = match directory.pay(&payment).await {
        Ok(paid) => paid,
        Err(StoreError::Missing(Missing::Subscriber)) => {
            return Err(unknown::payer(&app, &payment).await);
        }
        Err(error) => return Err(error.into()),
    };
    let repeated = if paid.repeated { "true" } else { "false" };
    let taken = Taken::of(&payment, new.tenant, paid);
    Ok(([(REPEATED, repeated)], Json(taken)))
}

/// Reads a payment, but for its tenant.
fn payment(new: &New) -> Result<Payment, Problem> {
    let wrong = |field: &str, why: &dyn std::fmt::Display| Problem::body(format!("{field}: {why}"));
    let note = new.note.as_deref().map(str::parse).transpose();
    Ok(Payment {
        tenant: None,
        reference: new
            .reference
            .parse()
            .map_err(|error| wrong("reference", &error))?,
        username: new
            .username
            .parse()
            .map_err(|error| wrong("username", &error))?,
        buys: match (new.seconds, new.until) {
            (Some(seconds), None) => Buys::Time(Duration::from_secs(positive("seconds", seconds)?)),
            (None, Some(until)) => Buys::Until(writable("until", until)?),
            _ => return Err(Problem::body("give either seconds or until")),
        },
        create: new.create,
        devices: devices(&new.devices)?,
        note: note.map_err(|error| wrong("note", &error))?,
    })
}

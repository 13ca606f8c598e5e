//! Transfer targets of tenants.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit::Change;
use super::statement::{Statement, composed, sql};
use super::tx::{Access, RowScope};
use super::{Duplicate, Page, Scope, StoreError, Window, now};
use crate::tenancy::{
    Actor, AfterBridge, Hours, Label, TargetId, TargetKind, TargetResolver, TenantId, TransferMethod,
    TransferStyle, TransferTarget, given,
};

/// A new transfer target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateTransferTargetRequest)]
pub struct NewTarget {
    /// The name by which the model and failover routes choose the target.
    pub name: Label,
    /// When to choose this target, for the model.
    #[schema(min_length = 1, max_length = 500, examples("The shop: orders and opening hours."))]
    pub description: String,
    pub kind: TargetKind,
    /// `1001@sales` (extension), `+493055500100` (number), `shop@pbx.example.com` (sip), `reception` (queue), `shop` (voicemail) or
    /// `https://example.com/target` (http).
    #[schema(min_length = 1, max_length = 400, examples("1001@sales"))]
    pub address: String,
    /// Default: `dialplan` for a queue or a mailbox, `dial` for the others.
    #[serde(default)]
    pub method: Option<TransferMethod>,
    /// Default: `cold`. Other styles need the method `dial`.
    #[serde(default)]
    pub style: TransferStyle,
    /// Default: `leave`. `stay` needs the method `dial`.
    #[serde(default)]
    pub after_bridge: AfterBridge,
    /// For the kind `http`: how its endpoint is asked. Default: without headers of its own, and only the tenant's targets may be
    /// named.
    #[serde(default)]
    pub resolver: Option<TargetResolver>,
    /// When it can be reached. Default: always.
    #[serde(default)]
    pub hours: Option<Hours>,
}

/// Changes of a transfer target. An absent field stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateTransferTargetRequest)]
pub struct TargetChanges {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub name: Option<Label>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 500)]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub kind: Option<TargetKind>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 400)]
    pub address: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub method: Option<TransferMethod>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub style: Option<TransferStyle>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub after_bridge: Option<AfterBridge>,
    /// `null`: without.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<TargetResolver>)]
    pub resolver: Option<Option<TargetResolver>>,
    /// `null`: always.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Hours>)]
    pub hours: Option<Option<Hours>>,
}

const COLUMNS: &str = "id, tenant_id, name, description, kind, address, method, style, after_bridge, resolver, hours, created_at";
const COUNT: &str = "SELECT COUNT(*) FROM transfer_targets WHERE tenant_id = $1";

impl Scope {
    /// # Errors
    /// `Conflict` when the tenant has a target of this name; `LimitReached` for one target more; `NotFound` when the scope's tenant does not exist.
    pub async fn create_target(
        &self,
        actor: &Actor,
        target: TransferTarget,
    ) -> Result<TransferTarget, StoreError> {
        let insert = composed(format!(
            "INSERT INTO transfer_targets ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
        ));
        let insert = bind(insert.bind(target.id.0).bind(self.tenant.0), &target)?.bind(target.created_at);
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        tx.admit("targets", tx.limits.targets.into(), sql(COUNT).bind(self.tenant.0)).await?;
        tx.execute(insert).await.map_err(|error| error.duplicate(Duplicate::TargetName))?;
        tx.publish_target(actor, self.tenant, &target).await?;
        let change = Change::new(actor, self.tenant, "create", "transfer_target", target.id);
        tx.audit(change.after(&target)).await?;
        tx.commit().await?;
        Ok(target)
    }

    /// A page of the tenant's targets, oldest first.
    pub async fn targets_page(&self, window: Window) -> Result<Page<TransferTarget>, StoreError> {
        let list = composed(format!(
            "SELECT {COLUMNS} FROM transfer_targets WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"
        ));
        let list = list.bind(self.tenant.0).bind(window.above()).bind(window.rows());
        let rows = self.all::<Row>(list).await?;
        let targets: Result<Vec<_>, StoreError> = rows.into_iter().map(TransferTarget::try_from).collect();
        Ok(window.page(targets?, |target| target.id.0))
    }

    /// All targets of the tenant, oldest first: at most as many as the limit allows.
    pub async fn targets(&self) -> Result<Vec<TransferTarget>, StoreError> {
        Ok(self.targets_page(Window::first(u32::MAX)).await?.items)
    }

    /// # Errors
    /// `NotFound` when the tenant has no such target.
    pub async fn target(&self, id: TargetId) -> Result<TransferTarget, StoreError> {
        self.one::<Row>(one(self.tenant, id)).await?.try_into()
    }

    /// Changes a target: `decide` makes the new one of the present one, in the transaction that writes it.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such target; `Conflict` for another target's name; those of `decide`.
    pub async fn update_target_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: TargetId,
        decide: impl FnOnce(&TransferTarget) -> Result<TransferTarget, E>,
    ) -> Result<TransferTarget, E> {
        const SQL: &str = "UPDATE transfer_targets SET name = $3, description = $4, kind = $5, address = $6, \
            method = $7, style = $8, after_bridge = $9, resolver = $10, hours = $11 WHERE id = $1 AND tenant_id = $2";
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let before: TransferTarget = tx.one::<Row>(one(self.tenant, id)).await?.try_into()?;
        let after = decide(&before)?;
        let update = bind(sql(SQL).bind(id.0).bind(self.tenant.0), &after)?;
        tx.execute(update).await.map_err(|error| error.duplicate(Duplicate::TargetName))?;
        tx.publish_target(actor, self.tenant, &after).await?;
        let change = Change::new(actor, self.tenant, "update", "transfer_target", id);
        tx.audit(change.before(&before).after(&after)).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Deletes a target that `check` accepts, and returns it. No version of a profile leads to it from then on.
    ///
    /// # Errors
    /// `NotFound` when the tenant has no such target; the error of `check`.
    pub async fn delete_target_if<E: From<StoreError>>(
        &self,
        actor: &Actor,
        id: TargetId,
        check: impl FnOnce(&TransferTarget) -> Result<(), E>,
    ) -> Result<TransferTarget, E> {
        const SQL: &str = "DELETE FROM transfer_targets WHERE tenant_id = $1 AND id = $2";
        let mut tx = self.begin(Access::Write).await?;
        tx.lock_tenant(self.tenant).await?;
        let before: TransferTarget = tx.one::<Row>(one(self.tenant, id)).await?.try_into()?;
        check(&before)?;
        tx.execute(sql(SQL).bind(self.tenant.0).bind(id.0)).await?;
        tx.audit(Change::new(actor, self.tenant, "delete", "transfer_target", id).before(&before)).await?;
        tx.commit().await?;
        Ok(before)
    }
}

/// The tenant's targets, oldest first.
pub(super) fn all(tenant: TenantId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM transfer_targets WHERE tenant_id = $1 ORDER BY id"))
        .bind(tenant.0)
}

fn one(tenant: TenantId, id: TargetId) -> Statement {
    composed(format!("SELECT {COLUMNS} FROM transfer_targets WHERE tenant_id = $1 AND id = $2"))
        .bind(tenant.0)
        .bind(id.0)
}

/// Binds name, description, kind, address, method, style, part after the bridge, resolver and hours.
fn bind(statement: Statement, target: &TransferTarget) -> Result<Statement, StoreError> {
    let hours = target.hours.as_ref().map(serde_json::to_string).transpose();
    let resolver = target.resolver.as_ref().map(serde_json::to_string).transpose();
    Ok(statement
        .bind(target.name.as_str())
        .bind(target.description.as_str())
        .bind(target.kind.as_str())
        .bind(target.address.as_str())
        .bind(target.method.as_str())
        .bind(target.style.as_str())
        .bind(target.after_bridge.as_str())
        .bind(resolver.map_err(StoreError::invalid)?.as_deref())
        .bind(hours.map_err(StoreError::invalid)?.as_deref()))
}

impl NewTarget {
    /// The target, with the usual method of its kind where none is chosen.
    pub fn of(self, tenant_id: TenantId) -> TransferTarget {
        TransferTarget {
            id: TargetId::new(),
            tenant_id,
            name: self.name,
            description: self.description,
            kind: self.kind,
            address: self.address,
            method: self.method.unwrap_or(self.kind.usual_method()),
            style: self.style,
            after_bridge: self.after_bridge,
            resolver: self.resolver,
            hours: self.hours,
            created_at: now(),
        }
    }
}

impl TargetChanges {
    /// The target after these changes.
    pub fn apply(self, target: &TransferTarget) -> TransferTarget {
        let before = target.clone();
        TransferTarget {
            name: self.name.unwrap_or(before.name),
            description: self.description.unwrap_or(before.description),
            kind: self.kind.unwrap_or(before.kind),
            address: self.address.unwrap_or(before.address),
            method: self.method.unwrap_or(before.method),
            style: self.style.unwrap_or(before.style),
            after_bridge: self.after_bridge.unwrap_or(before.after_bridge),
            resolver: self.resolver.unwrap_or(before.resolver),
            hours: self.hours.unwrap_or(before.hours),
            ..before
        }
    }
}

#[derive(Clone, sqlx::FromRow, Serialize)]
pub(super) struct Row {
    id: Uuid,
    tenant_id: Uuid,
    name: String,
    description: String,
    kind: String,
    address: String,
    method: String,
    style: String,
    after_bridge: String,
    resolver: Option<String>,
    hours: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for TransferTarget {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<TransferTarget, StoreError> {
        let hours = row.hours.as_deref().map(serde_json::from_str).transpose();
        let resolver = row.resolver.as_deref().map(serde_json::from_str).transpose();
        Ok(TransferTarget {
            id: TargetId(row.id),
            tenant_id: TenantId(row.tenant_id),
            name: row.name.parse().map_err(StoreError::corrupt)?,
            description: row.description,
            kind: row.kind.parse().map_err(StoreError::corrupt)?,
            address: row.address,
            method: row.method.parse().map_err(StoreError::corrupt)?,
            style: row.style.parse().map_err(StoreError::corrupt)?,
            after_bridge: row.after_bridge.parse().map_err(StoreError::corrupt)?,
            resolver: resolver.map_err(StoreError::corrupt)?,
            hours: hours.map_err(StoreError::corrupt)?,
            created_at: row.created_at,
        })
    }
}

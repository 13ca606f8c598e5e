//! The tenants, numbers and agents that the call tests dial, put straight into the daemon's database.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use vca::store::{
    CallFilter, NewKey, NewNumber, NewProfile, NewTarget, NewTenant, NumberChanges, Settings, Store,
    StoreError, TenantChanges, Window,
};
use vca::tenancy::{
    Actor, AgentRole, Call, CallId, CallStatus, CallTurn, Direction, EndedBy, FailoverRoutes, NumberId,
    NumberRouting, PhoneNumber, Plan, PreCallOwner, PreCallWebhook, ProfileId, ProfileSettings, ProviderType,
    Role, TenantId, TenantStatus, Usage,
};

/// The database of a daemon, open beside it.
pub struct Seed {
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Seed {
    /// Opens and migrates the SQLite database that a daemon uses in `folder`.
    pub fn open(folder: &Path) -> Seed {
        Seed::at(&format!("sqlite://{}", folder.join("vca.db").display()))
    }

    /// Opens and migrates the database of a URL.
    pub fn at(url: &str) -> Seed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = SecretString::from(url);
        let store = runtime.block_on(async {
            let store = Store::open(&Settings { url, ..Settings::default() }).await.expect("a database");
            store.migrate().await.expect("migrations");
            store
        });
        Seed { store, runtime }
    }

    /// A tenant with one number and, unless `settings` is null, a default profile with those settings.
    pub fn tenant(&self, name: &str, did: &str, limit: Option<u32>, settings: Value) -> TenantId {
        self.runtime.block_on(async {
            let new = NewTenant { name: name.into(), plan: Plan::Starter, max_concurrent_calls: limit };
            let tenant = self.store.create_tenant(&Actor::system(), new).await.expect("a tenant").id;
            let scope = self.store.scope(tenant);
            let did = did.parse().expect("a DID");
            scope
                .create_number(&Actor::system(), NewNumber { did, provider_type: ProviderType::Generic })
                .await
                .expect("a number");
            if !settings.is_null() {
                let settings: ProfileSettings = serde_json::from_value(settings).expect("profile settings");
                let new = NewProfile {
                    name: "front desk".into(),
                    role: AgentRole::Receptionist,
                    system_prompt: "You answer the telephone.".into(),
                    is_default: true,
                    settings,
                };
                scope.create_profile(&Actor::system(), new).await.expect("a profile");
            }
            tenant
        })
    }

    /// Adds a profile that is not the default one.
    pub fn other_profile(&self, tenant: TenantId, name: &str, prompt: &str, settings: Value) -> ProfileId {
        let new = NewProfile {
            name: name.into(),
            role: AgentRole::Sales,
            system_prompt: prompt.into(),
            is_default: false,
            settings: serde_json::from_value(settings).expect("profile settings"),
        };
        let scope = self.store.scope(tenant);
        self.runtime.block_on(scope.create_profile(&Actor::system(), new)).expect("a profile").id
    }

    /// The secret of a new operator's key.
    pub fn operator_key(&self) -> String {
        let new = NewKey { name: "test".into(), role: Role::Operator, expires_at: None };
        let minted = self.runtime.block_on(self.store.create_operator_key(&Actor::system(), new));
        minted.expect("a key").secret.expose_secret().to_owned()
    }

    pub fn set_status(&self, tenant: TenantId, status: TenantStatus) {
        let changes = TenantChanges { status: Some(status), ..TenantChanges::default() };
        self.runtime.block_on(async {
            if status == TenantStatus::Deleted {
                self.store.delete_tenant(&Actor::system(), tenant, false).await.expect("a tenant");
            } else {
                self.store.update_tenant(&Actor::system(), tenant, changes).await.expect("a tenant");
            }
        });
    }

    pub fn deactivate_numbers(&self, tenant: TenantId) {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            for number in scope.numbers().await.expect("numbers") {
                scope.set_number_active(&Actor::system(), number.id, false).await.expect("a number");
            }
        });
    }

    /// Adds a transfer target, by its kind, address and method.
    pub fn target(&self, tenant: TenantId, name: &str, target: Value) {
        let mut new = target;
        new["name"] = name.into();
        new["description"] = "People.".into();
        let new: NewTarget = serde_json::from_value(new).expect("a target");
        let scope = self.store.scope(tenant);
        self.runtime.block_on(scope.create_target(&Actor::system(), new.of(tenant))).expect("a target");
    }

    /// Another profile of a tenant.
    pub fn profile(&self, tenant: TenantId, name: &str, settings: Value) -> ProfileId {
        self.other_profile(tenant, name, "You answer the telephone.", settings)
    }

    /// A tenant's only number.
    pub fn number(&self, tenant: TenantId) -> NumberId {
        let numbers = self.runtime.block_on(self.store.scope(tenant).numbers());
        numbers.expect("numbers").remove(0).id
    }

    /// Sets a pre-call webhook of a tenant. Returns its secret.
    pub fn pre_call_webhook(
        &self,
        tenant: TenantId,
        owner: PreCallOwner,
        url: &str,
        timeout_ms: u32,
    ) -> String {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            let accept = |_: Option<&PreCallWebhook>| Ok::<(), StoreError>(());
            let actor = Actor::system();
            let set = scope.set_pre_call_webhook_if(&actor, owner, url, timeout_ms, accept);
            let issued = set.await.expect("a webhook");
            issued.secret.expect("a new secret").expose_secret().to_owned()
        })
    }

    /// Replaces the secret of a pre-call webhook. Returns the new one.
    pub fn rotate_pre_call_secret(&self, tenant: TenantId, owner: PreCallOwner) -> String {
        let scope = self.store.scope(tenant);
        let issued = self.runtime.block_on(scope.rotate_pre_call_secret(&Actor::system(), owner));
        let secret = issued.expect("a webhook").secret.expect("a new secret");
        secret.expose_secret().to_owned()
    }

    /// Sets which profiles answer a tenant's only number.
    pub fn routing(&self, tenant: TenantId, routing: &NumberRouting) {
        let accept = |_: &NumberRouting| Ok::<(), StoreError>(());
        let (scope, number, actor) = (self.store.scope(tenant), self.number(tenant), Actor::system());
        let set = scope.set_number_routing_if(&actor, number, routing, accept);
        self.runtime.block_on(set).expect("a routing");
    }

    /// The profile that a call's id chooses of those that share a number's calls.
    pub fn chosen_profile(&self, did: &str, call: CallId) -> ProfileId {
        let did = did.parse().expect("a DID");
        let route = self.runtime.block_on(self.store.route(&did)).expect("an answer").expect("a route");
        route.number_profiles.choose(call).expect("a profile").id
    }

    /// Sets the failover routes of a tenant's numbers.
    pub fn failover(&self, tenant: TenantId, routes: Value) {
        let failover: FailoverRoutes = serde_json::from_value(routes).expect("failover routes");
        self.change_numbers(tenant, NumberChanges { failover: Some(failover), ..NumberChanges::default() });
    }

    /// Changes a tenant's numbers.
    pub fn change_numbers(&self, tenant: TenantId, changes: NumberChanges) {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            for number in scope.numbers().await.expect("numbers") {
                let accept = |_: &PhoneNumber| Ok::<(), StoreError>(());
                scope
                    .update_number_if(&Actor::system(), number.id, &changes, accept)
                    .await
                    .expect("a number");
            }
        });
    }

    /// Puts so many test events for a tenant's webhook into the outbox.
    pub fn ping(&self, tenant: TenantId, webhook: &str, count: usize) {
        let webhook = webhook.parse().expect("a webhook's id");
        self.runtime.block_on(async {
            for _ in 0..count {
                self.store.scope(tenant).ping_webhook(&Actor::system(), webhook).await.expect("a ping");
            }
        });
    }

    /// What one call has taken.
    pub fn usage_of(&self, call: &Call) -> Usage {
        let scope = self.store.scope(call.tenant_id);
        self.runtime.block_on(scope.usage_of_call(call.id)).expect("an answer").expect("the call")
    }

    /// Puts an ended call of so many seconds on record, of now.
    pub fn talked(&self, tenant: TenantId, seconds: i64) {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            let number = scope.numbers().await.expect("numbers").remove(0);
            let ended_at = chrono::Utc::now();
            let answered_at = ended_at - chrono::TimeDelta::seconds(seconds);
            let call = Call {
                id: CallId::new(),
                tenant_id: tenant,
                phone_number_id: number.id,
                ai_profile_id: None,
                ai_profile_version: None,
                routing_version: None,
                asterisk_channel_id: "before".into(),
                direction: Direction::Inbound,
                caller_number: None,
                called_number: number.did,
                status: CallStatus::Completed,
                ended_by: Some(EndedBy::Caller),
                disposition: Some("caller_hung_up".into()),
                hangup_cause: Some(16),
                sip_status: None,
                provider_call_id: None,
                started_at: answered_at,
                answered_at: Some(answered_at),
                ended_at: Some(ended_at),
                codec: None,
                media: None,
                failure_reason: None,
                notice_heard_at: None,
                emergency_at: None,
                engine_failures: Vec::new(),
                fields: Default::default(),
                transfers: Vec::new(),
                analysis: None,
                pre_call: None,
                agent_changes: Vec::new(),
            };
            scope.end_call(&call, &[]).await.expect("a call");
        });
    }

    /// A tenant's calls with their turns, oldest first.
    pub fn calls(&self, tenant: TenantId) -> Vec<(Call, Vec<CallTurn>)> {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            let mut calls = Vec::new();
            let latest = scope.calls(&CallFilter::default(), Window::first(50)).await.expect("calls");
            for call in latest.items {
                calls.extend(scope.call(call.id).await.expect("a call"));
            }
            calls.reverse();
            calls
        })
    }
}

/// A profile that needs no key: flite speaks, pocketsphinx hears the script's phrases.
pub fn local_agent() -> Value {
    json!({ "greeting": "Hello, how can I help you?", "stt": "pocketsphinx", "llm": "scripted", "tts": "flite" })
}

/// The same, with other settings of the conversation.
pub fn local_agent_with(turn: Value) -> Value {
    let mut agent = local_agent();
    agent["turn"] = turn;
    agent
}

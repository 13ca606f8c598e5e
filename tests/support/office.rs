//! The tenants, numbers and agents that the call tests dial, put straight into the daemon's database.

use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};
use vca::store::{NewNumber, NewProfile, NewTenant, Settings, Store, TenantChanges};
use vca::tenancy::{
    Actor, AgentRole, Call, CallTurn, Plan, ProfileSettings, ProviderType, TenantId, TenantStatus,
};

/// The database of a daemon, open beside it.
pub struct Office {
    store: Store,
    runtime: tokio::runtime::Runtime,
}

impl Office {
    /// Opens and migrates the SQLite database that a daemon uses in `folder`.
    pub fn open(folder: &Path) -> Office {
        Office::at(&format!("sqlite://{}", folder.join("vca.db").display()))
    }

    /// Opens and migrates the database of a URL.
    pub fn at(url: &str) -> Office {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = SecretString::from(url);
        let store = runtime.block_on(async {
            let store = Store::open(&Settings { url, ..Settings::default() }).await.expect("a database");
            store.migrate().await.expect("migrations");
            store
        });
        Office { store, runtime }
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

    pub fn set_status(&self, tenant: TenantId, status: TenantStatus) {
        let changes = TenantChanges { status: Some(status), ..TenantChanges::default() };
        self.runtime.block_on(self.store.update_tenant(&Actor::system(), tenant, changes)).expect("a tenant");
    }

    pub fn deactivate_numbers(&self, tenant: TenantId) {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            for number in scope.numbers().await.expect("numbers") {
                scope.set_number_active(&Actor::system(), number.id, false).await.expect("a number");
            }
        });
    }

    /// A tenant's calls with their turns, oldest first.
    pub fn calls(&self, tenant: TenantId) -> Vec<(Call, Vec<CallTurn>)> {
        self.runtime.block_on(async {
            let scope = self.store.scope(tenant);
            let mut calls = Vec::new();
            for call in scope.calls(Default::default()).await.expect("calls") {
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

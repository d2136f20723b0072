//! Practice data: the clients, pets, appointments and notes of a veterinary practice, the same ones at every
//! call for the same tenant. They enter as operations of a device, through the same door as everybody's, so
//! that a seeded database holds nothing that could not have been synced into it.

use std::sync::Arc;

use fieldsync::model::{Action, Base, ClientId, IdSource, Operation, RecordId, Stamp};
use fieldsync::protocol::{Outcome, PROTOCOL, RequestHead, UploadRequest, limits};
use fieldsync::schema::Schema;
use fieldsync::value::hash_bytes;
use serde_json::{Value, json};

use crate::key::ServerKey;
use crate::seams::{Entropy, EntropyError, SystemClock, SystemEntropy};
use crate::service::{Refusal, Service};
use crate::store::{ServerStore, StoreError};
use crate::token::Identity;

/// Who the practice data was written by.
const USER: &str = "seed";
/// When the practice data was written: 2026-01-05, 08:00 UTC.
const WRITTEN_MS: u64 = 1_767_600_000_000;
/// The entities that the data is for, in the order in which they refer to each other.
const ENTITIES: [&str; 5] = ["practitioner", "client", "pet", "appointment", "note"];

/// Why a tenant could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It is no practice.
    #[error("the schema has no entity '{0}': practice data is for practitioner, client, pet, appointment and note")]
    OtherSchema(&'static str),
    /// There are records already.
    #[error("the tenant has records already")]
    NotEmpty,
    /// A record was not taken.
    #[error("a record was not taken: {0}")]
    NotTaken(String),
    /// The upload was refused.
    #[error("the upload was refused: {}", .0.reason)]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Fills an empty tenant with about `records` records and says how many it became.
pub async fn fill<S: ServerStore + Clone>(store: &S, schema: Schema, tenant: &str, records: usize) -> Result<usize, SeedError> {
    if let Some(missing) = ENTITIES.into_iter().find(|entity| schema.entity(entity).is_none()) {
        return Err(SeedError::OtherSchema(missing));
    }
    let mut practice = Practice::new(tenant, schema.version);
    if store.holdings(tenant, &practice.client).await?.state.sequence.0 > 0 {
        return Err(SeedError::NotEmpty);
    }
    practice.write(records);
    // Nobody else sees this service; its key signs nothing.
    let mut random = [0; 32];
    SystemEntropy.fill(&mut random)?;
    let key = ServerKey::parse(&data_encoding::HEXLOWER.encode(&random)).unwrap_or_else(|_| unreachable!("64 random digits are a key"));
    let service = Service::new(store.clone(), schema, &key, Arc::new(SystemClock), Arc::new(SystemEntropy));
    for (number, batch) in practice.operations.chunks(limits::OPERATIONS_MAX).enumerate() {
        upload(&service, &practice, number, batch).await?;
    }
    Ok(practice.operations.len())
}

async fn upload<S: ServerStore>(service: &Service<S>, practice: &Practice, number: usize, batch: &[Operation]) -> Result<(), SeedError> {
    let head = RequestHead {
        protocol: PROTOCOL,
        request_id: format!("seed-{number}"),
        tenant: practice.tenant.clone(),
        user: USER.to_owned(),
        client: practice.client.clone(),
        epoch: None,
        offset_ms: 0,
    };
    let operations: Vec<&Operation> = batch.iter().collect();
    let body = serde_json::to_vec(&UploadRequest { head, operations, former: Vec::new(), stands: Vec::new() });
    let body = body.unwrap_or_else(|_| unreachable!("operations are JSON"));
    let identity = Identity::new(practice.tenant.clone(), USER);
    let response = service.upload(&identity, &body).await.map_err(SeedError::Refused)?;
    match response.results.into_iter().find(|result| !matches!(result.outcome, Outcome::Applied { .. })) {
        Some(refused) => Err(SeedError::NotTaken(format!("{:?}", refused.outcome))),
        None => Ok(()),
    }
}

/// A practice that is being written down. All chance comes from the tenant's name.
struct Practice {
    tenant: String,
    schema: u32,
    client: ClientId,
    chance: u64,
    ids: IdSource,
    operations: Vec<Operation>,
}

impl Practice {
    fn new(tenant: &str, schema: u32) -> Self {
        let digits = hash_bytes(tenant.as_bytes());
        let chance = u64::from_str_radix(digits.as_str().get(..15).unwrap_or("1"), 16).unwrap_or(1).max(1);
        let mut practice = Self {
            tenant: tenant.to_owned(),
            schema,
            client: IdSource::default().client_id(WRITTEN_MS, [0; IdSource::ENTROPY_BYTES]),
            chance,
            ids: IdSource::default(),
            operations: Vec::new(),
        };
        let random = practice.random();
        practice.client = practice.ids.client_id(WRITTEN_MS, random);
        practice
    }

    /// Per client two pets, per pet two appointments, per appointment one or two notes.
    fn write(&mut self, records: usize) {
        let staff: Vec<_> = (0..(records / 50).clamp(2, 12)).map(|_| self.practitioner()).collect();
        while self.operations.len() < records {
            let client = self.client();
            for _ in 0..=self.below(2) {
                let pet = self.pet(&client);
                for _ in 0..=self.below(3) {
                    let by = self.pick(&staff).clone();
                    let appointment = self.appointment(&pet, &by);
                    for _ in 0..=self.below(2) {
                        self.note(&appointment, &by);
                    }
                }
            }
        }
    }

    fn practitioner(&mut self) -> RecordId {
        let name = format!("Dr. {} {}", self.pick(&FIRST_NAMES), self.pick(&LAST_NAMES));
        let role = *self.pick(&["veterinarian", "veterinarian", "nurse", "assistant"]);
        let phone = self.phone();
        self.create("practitioner", json!({"name": name, "role": role, "phone": phone}))
    }

    fn client(&mut self) -> RecordId {
        let (first, last) = (*self.pick(&FIRST_NAMES), *self.pick(&LAST_NAMES));
        let email = format!("{}.{}@example.org", first.to_lowercase(), last.to_lowercase());
        let street = format!("{} {}", self.below(140) + 1, self.pick(&STREETS));
        let city = *self.pick(&CITIES);
        let phone = self.phone();
        let address = json!({"street": street, "city": city});
        self.create("client", json!({"name": format!("{first} {last}"), "phone": phone, "email": email, "address": address}))
    }

    fn pet(&mut self, client: &RecordId) -> RecordId {
        let (species, heaviest) = *self.pick(&[("dog", 400), ("dog", 400), ("cat", 70), ("cat", 70), ("rabbit", 40), ("bird", 9)]);
        let name = *self.pick(&PET_NAMES);
        let born = format!("{}-{:02}-{:02}", 2012 + self.below(14), self.below(12) + 1, self.below(28) + 1);
        // A u32 is exact as a double; one decimal is what a scale in a practice shows.
        let weight = f64::from(self.below(heaviest) + 3) / 10.0;
        self.create("pet", json!({"name": name, "clientId": client, "species": species, "born": born, "weight": weight}))
    }

    fn appointment(&mut self, pet: &RecordId, by: &RecordId) -> RecordId {
        let minutes = 15 * self.below(4);
        let at = format!("2026-{:02}-{:02}T{:02}:{minutes:02}:00Z", self.below(12) + 1, self.below(28) + 1, self.below(9) + 8);
        let reason = *self.pick(&REASONS);
        let status = *self.pick(&["planned", "planned", "done", "done", "done", "cancelled"]);
        let attendees = json!([{"practitionerId": by, "role": "lead"}]);
        self.create("appointment", json!({"petId": pet, "at": at, "reason": reason, "status": status, "attendees": attendees}))
    }

    fn note(&mut self, appointment: &RecordId, by: &RecordId) {
        let text = format!("{} {}", self.pick(&FINDINGS), self.pick(&ADVICE));
        self.create("note", json!({"appointmentId": appointment, "practitionerId": by, "text": text}));
    }

    fn phone(&mut self) -> String {
        format!("+1 555 {:04}", self.below(10_000))
    }

    fn create(&mut self, entity: &str, data: Value) -> RecordId {
        let ms = WRITTEN_MS + u64::try_from(self.operations.len()).unwrap_or_default();
        let (for_record, for_operation) = (self.random(), self.random());
        let record = RecordId::from(self.ids.temp_id(ms, for_record, entity));
        let Value::Object(data) = data else { unreachable!("records are objects") };
        self.operations.push(Operation {
            id: self.ids.op_id(ms, for_operation),
            seq: u64::try_from(self.operations.len()).unwrap_or_default() + 1,
            entity: entity.to_owned(),
            record: record.clone(),
            action: Action::Create { data },
            base: Base::None,
            stamp: Stamp { ms, n: 0 },
            author: USER.to_owned(),
            stamps: fieldsync::value::Sorted::new(),
            lane: None,
            group: None,
            supersedes: None,
            first: None,
            seen: None,
            schema: self.schema,
        });
        record
    }

    /// The next number of a xorshift generator (Marsaglia, 2003): not to be guessed by nobody, only the same
    /// every time.
    fn next(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from((self.next() >> 16) % u64::from(bound.max(1))).unwrap_or_default()
    }

    fn pick<'l, T>(&mut self, from: &'l [T]) -> &'l T {
        let at = self.below(u32::try_from(from.len()).unwrap_or(u32::MAX));
        &from[usize::try_from(at).unwrap_or_default()]
    }

    fn random(&mut self) -> [u8; IdSource::ENTROPY_BYTES] {
        let mut bytes = [0; IdSource::ENTROPY_BYTES];
        for byte in &mut bytes {
            *byte = self.next().to_be_bytes()[3];
        }
        bytes
    }
}

const FIRST_NAMES: [&str; 24] = [
    "Ada", "Ben", "Clara", "Daniel", "Elena", "Felix", "Grace", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Mara", "Noah", "Olga", "Pablo",
    "Quinn", "Rosa", "Samir", "Tessa", "Umar", "Vera", "Willem", "Yuki",
];
const LAST_NAMES: [&str; 24] = [
    "Abel", "Baker", "Castro", "Dietrich", "Evans", "Fischer", "Garcia", "Hansen", "Ito", "Jansen", "Keller", "Lopez", "Moreau", "Nowak",
    "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vogel", "Weber", "Zhang",
];
const STREETS: [&str; 8] =
    ["Mill Lane", "Station Road", "Orchard Street", "High Street", "Willow Way", "Harbour Road", "Church Street", "Meadow Close"];
const CITIES: [&str; 6] = ["Riverside", "Hilltop", "Ashford", "Brookfield", "Westport", "Linden"];
const PET_NAMES: [&str; 24] = [
    "Bella", "Rex", "Luna", "Milo", "Nala", "Oscar", "Poppy", "Rocky", "Simba", "Tilly", "Bruno", "Coco", "Daisy", "Felix", "Ginger",
    "Hazel", "Jasper", "Kiwi", "Lotte", "Max", "Pepper", "Ruby", "Socks", "Zorro",
];
const REASONS: [&str; 8] =
    ["Vaccination", "Annual check", "Limping", "Dental cleaning", "Skin irritation", "Weight control", "Ear infection", "Follow-up"];
const FINDINGS: [&str; 8] = [
    "Alert and in good condition.",
    "Mild redness of the left ear.",
    "Tartar on the upper molars.",
    "Slight limp of the right foreleg, no swelling.",
    "Coat dull, some scaling along the back.",
    "Weight up since the last visit.",
    "Heart and lungs without findings.",
    "Vaccinated without reaction.",
];
const ADVICE: [&str; 6] = [
    "Next check in a year.",
    "Drops twice a day for a week.",
    "Rest for ten days, then again.",
    "Owner will call if it gets worse.",
    "Change of diet discussed.",
    "Booked for cleaning.",
];

//! JSON schemas of profile fields with a closed set of keys or values that are stored as plain texts.

use utoipa::PartialSchema;
use utoipa::openapi::schema::{
    AdditionalProperties, Array, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr, Schema, SchemaFormat};

use super::agents::{MOST_AGENTS, MOST_LANGUAGES};
use super::check::{LONGEST_NAME, LONGEST_PHRASE};
use super::check::{LONGEST_SPOKEN, LONGEST_TERM, MOST_TERMS, MOST_WORDS};
use super::hours::{DAYS, MOST_DATES, MOST_OPENINGS};
use super::variables;
use super::{AnalysisSettings, Hours, ProfileSettings, Tool};
use crate::conversation::{self, Phrase};

/// Texts by the name of the phrase that they replace.
pub(super) fn phrases() -> Object {
    let text = || {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .max_length(Some(LONGEST_PHRASE))
            .pattern(Some(r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"))
    };
    let names = Phrase::NAMES.iter().map(|(_, name)| *name);
    closed(names.map(|name| (name, text().into())))
        .description(Some("Phrases that replace the built-in ones, by name."))
        .build()
}

/// Names of tools.
pub(super) fn tools() -> Array {
    let names = Tool::ALL.iter().map(|tool| tool.as_str());
    let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
    ArrayBuilder::new()
        .items(name)
        .max_items(Some(100))
        .description(Some("Actions that the agent can take. Default: none."))
        .build()
}

/// Values of variables by name.
pub(super) fn variables() -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).pattern(Some(variables::NAME));
    let about = "Values for `{{name}}` in prompt, greeting and phrases, by name.";
    texts(name, line(0, variables::LONGEST_VALUE), variables::MOST_VARIABLES, about)
}

/// Spoken forms by word.
pub(super) fn pronunciations() -> Object {
    let about = "Words that the voice mispronounces, and the text that is spoken in their place.";
    texts(line(1, LONGEST_TERM), line(1, LONGEST_SPOKEN), MOST_WORDS, about)
}

/// Names and terms that callers say.
pub(super) fn key_terms() -> Array {
    let about = "Names and terms that callers say, for speech-to-text engines that take such hints.";
    ArrayBuilder::new()
        .items(line(1, LONGEST_TERM))
        .max_items(Some(MOST_TERMS))
        .description(Some(about))
        .build()
}

/// Values of which an analysis chooses one.
pub(super) fn analysis_values() -> Array {
    let (most, longest) = super::analysis::VALUE_BOUNDS;
    ArrayBuilder::new().items(line(1, longest)).max_items(Some(most)).build()
}

/// Words that mean a choice of a menu.
pub(super) fn choice_words() -> Array {
    let about = "Words that mean the same as the key: \"hours\", \"when do you open\". The key itself can be said in any case.";
    let most = super::keypad_menu::MOST_WORDS;
    let words = line(1, super::keypad_menu::LONGEST_WORDS);
    ArrayBuilder::new().items(words).max_items(Some(most)).description(Some(about)).build()
}

/// Tags of languages.
pub(super) fn languages() -> Array {
    let about = "All languages of the conversation (BCP 47), for the tool `set_language`. It begins in the first one. The \
                 others are languages with built-in phrases: `en`, `hi`, `de`, `es`, `fr`, `pt`. Default: `language` alone.";
    ArrayBuilder::new()
        .items(language())
        .max_items(Some(MOST_LANGUAGES))
        .unique_items(true)
        .description(Some(about))
        .build()
}

/// Names of voices by tags of languages.
pub(super) fn voices() -> Object {
    let about = "The voice of each language, by its tag in `languages`. Default: `voice` for the first one, and the engine's \
                 choice for the others.";
    texts(language(), line(1, 200), MOST_LANGUAGES, about)
}

/// Names of profiles.
pub(super) fn switch_to() -> Array {
    ArrayBuilder::new()
        .items(line(1, LONGEST_NAME))
        .max_items(Some(MOST_AGENTS))
        .unique_items(true)
        .description(Some("Names of the tenant's profiles to which the tool `switch_agent` can switch."))
        .build()
}

/// The tag of a language (BCP 47).
fn language() -> ObjectBuilder {
    let pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$";
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(35)).pattern(Some(pattern))
}

/// A text of one line that is not blank, unless it may be empty.
fn line(shortest: usize, longest: usize) -> ObjectBuilder {
    let pattern = match shortest {
        0 => r"^[^\x00-\x1f\x7f-\x9f]*$",
        _ => r"^[^\x00-\x1f\x7f-\x9f]*([^\s\x00-\x1f\x7f-\x9f]|\uFEFF)[^\x00-\x1f\x7f-\x9f]*$",
    };
    ObjectBuilder::new().schema_type(Type::String).max_length(Some(longest)).pattern(Some(pattern))
}

/// At most `most` texts by name.
fn texts(name: ObjectBuilder, text: ObjectBuilder, most: usize, about: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(name.build()))
        .additional_properties(Some(AdditionalProperties::RefOr(Schema::Object(text.build()).into())))
        .max_properties(Some(most))
        .description(Some(about))
        .build()
}

/// Opening hours by day of the week.
pub(super) fn week() -> Object {
    let day = || {
        let openings = Ref::from_schema_name("OpeningHours");
        ArrayBuilder::new().items(openings).max_items(Some(MOST_OPENINGS)).build()
    };
    closed(DAYS.iter().map(|name| (*name, Schema::Array(day()).into())))
        .description(Some("Opening hours by day, `monday` to `sunday`. A day that is absent is closed."))
        .build()
}

/// Dates of the calendar.
pub(super) fn dates() -> Array {
    let date = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .examples(["2026-12-25"]);
    ArrayBuilder::new()
        .items(date)
        .max_items(Some(MOST_DATES))
        .description(Some("Dates that are closed on any day of the week."))
        .build()
}

/// A merge patch of settings: each field, at any depth, can be absent, and can be `null`.
pub(super) fn patch_of_settings() -> Schema {
    let about = "Merged into the settings: an absent field is unchanged, `null` resets it to its default.";
    match optional(ProfileSettings::schema()) {
        RefOr::T(Schema::Object(mut object)) => {
            object.description = Some(about.to_owned());
            Schema::Object(object)
        }
        other => other.into(),
    }
}

/// The schema with `null` allowed, and without required fields. Lists are replaced as a whole, so theirs are
/// unchanged.
fn optional(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.required.clear();
            object.default = None;
            object.schema_type = with_null(object.schema_type);
            let fields = std::mem::take(&mut object.properties);
            object.properties = fields.into_iter().map(|(name, field)| (name, optional(field))).collect();
            Schema::Object(object).into()
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.default = None;
            array.schema_type = with_null(array.schema_type);
            Schema::Array(array).into()
        }
        // `Option<T>`: the schema of T, or null. Of an object the fields are optional too.
        RefOr::T(Schema::OneOf(one_of)) => {
            let reference = one_of.items.iter().find(|item| matches!(item, RefOr::Ref(_))).cloned();
            match reference.map(optional) {
                Some(RefOr::T(schema)) => schema.into(),
                _ => Schema::OneOf(one_of).into(),
            }
        }
        RefOr::Ref(reference) if reference.ref_location.ends_with("/BusinessHours") => {
            optional(Hours::schema())
        }
        RefOr::Ref(reference) if reference.ref_location.ends_with("/ConversationSettings") => {
            optional(conversation::Overrides::schema())
        }
        RefOr::Ref(reference) if reference.ref_location.ends_with("/AnalysisSettings") => {
            optional(AnalysisSettings::schema())
        }
        other => other,
    }
}

fn with_null(kind: SchemaType) -> SchemaType {
    match kind {
        SchemaType::Type(kind) => SchemaType::Array(vec![kind, Type::Null]),
        other => other,
    }
}

/// An object with these optional properties and no others.
fn closed<'a>(properties: impl Iterator<Item = (&'a str, RefOr<Schema>)>) -> ObjectBuilder {
    let object =
        properties.fold(ObjectBuilder::new(), |object, (name, schema)| object.property(name, schema));
    object.additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

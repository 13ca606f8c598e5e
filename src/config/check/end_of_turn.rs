//! `[end_of_turn]`, and settings that need its model.

use crate::config::Config;
use crate::violation::Violation;

pub(super) fn check(config: &Config) -> Vec<Violation> {
    let wanted = config.turn_settings().end_of_turn_model && config.end_of_turn.model_file.is_none();
    let missing = wanted.then(|| {
        Violation::with_remedy(
            "turn.end_of_turn_model",
            "there is no model",
            "set end_of_turn.model_file, as in /var/lib/vca/smart-turn-v3.2-cpu.onnx (docs/turn-taking.md)",
        )
    });
    config.end_of_turn.check().into_iter().chain(missing).collect()
}

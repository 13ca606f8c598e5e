use proptest::prelude::*;

use super::*;

#[track_caller]
fn says(tag: &str, expected: &[(&str, &str)]) {
    let language = Language::of(Some(tag));
    for (written, said) in expected {
        assert_eq!(spoken(written, language), *said, "{tag}: {written}");
        assert_eq!(spoken(said, language), *said, "{tag}: once more");
    }
}

#[test]
fn money() {
    says(
        "en",
        &[
            ("It costs ₹500.", "It costs 500 rupees."),
            ("It costs ₹1,25,000 in all", "It costs 1 lakh 25 thousand rupees in all"),
            ("Rs. 2,50,00,000", "2 crore 50 lakh rupees"),
            ("Rs 300/- only", "300 rupees only"),
            ("$3.50 or 3.50 $", "3 dollars 50 cents or 3 dollars 50 cents"),
            ("$1,200.00", "1,200 dollars"),
            ("£1 and €1.05", "1 pound and 1 euro 5 cents"),
            ("$1.5 million", "1.5 million dollars"),
            ("5 lakh INR", "5 lakh rupees"),
            ("$5-10 or $5–$10", "5 to 10 dollars or 5 to 10 dollars"),
            ("20 EUR", "20 euros"),
        ],
    );
    says(
        "hi",
        &[
            ("इसकी कीमत ₹500 है।", "इसकी कीमत 500 रुपये है।"),
            ("₹1,25,300 लगेंगे", "1 लाख 25 हज़ार 300 रुपये लगेंगे"),
            ("₹5 करोड़", "5 करोड़ रुपये"),
            ("रु. 50", "50 रुपये"),
            ("₹200-300", "200 से 300 रुपये"),
            ("₹1", "1 रुपया"),
            ("$20.50", "20 डॉलर 50 सेंट"),
        ],
    );
    says(
        "de",
        &[("3,50 €", "3 Euro 50 Cent"), ("1.200 €", "1.200 Euro"), ("5 Millionen €", "5 Millionen Euro")],
    );
    says("es", &[("3,50 €", "3 euros 50 céntimos"), ("5 millones €", "5 millones de euros")]);
    says("fr", &[("12,05 €", "12 euros 5 centimes")]);
    says("pt", &[("R$ 20,90", "20 reais 90 centavos"), ("R$ 1,00", "1 real")]);
}

#[test]
fn dates_and_times() {
    says(
        "en",
        &[
            ("on 2026-12-25.", "on December 25, 2026."),
            ("on 25/12/2026", "on December 25, 2026"),
            ("on 03/04/2026", "on 03/04/2026"),
            ("at 17:00 or 17:30", "at 5 p.m. or 5:30 p.m."),
            ("at 9:00, 9:30", "at 9 o'clock, 9:30"),
            ("9:00 AM – 5 PM", "9 a.m. to 5 p.m."),
            ("from 9:00-17:00", "from 9 o'clock to 5 p.m."),
            ("at 00:00", "at midnight"),
            ("We open at 9 AM. We close at 17:00.", "We open at 9 a.m. We close at 5 p.m."),
            ("It takes 5 min. Wait a min. Thanks.", "It takes 5 minutes. Wait a min. Thanks."),
            ("10:30:15", "10:30:15"),
        ],
    );
    says(
        "hi",
        &[
            ("2026-12-25 को", "25 दिसंबर 2026 को"),
            ("05/11/2026", "5 नवंबर 2026"),
            ("17:00 पर", "शाम 5 बजे पर"),
            ("सुबह 9:30 बजे", "सुबह 9 बजकर 30 मिनट"),
            ("10 AM", "सुबह 10 बजे"),
            ("शाम 5 PM", "शाम 5 बजे"),
            ("8:15 pm", "रात 8 बजकर 15 मिनट"),
        ],
    );
    says(
        "de",
        &[
            ("am 24.12.2026", "am 24. Dezember 2026"),
            ("am 24.12. ab 9.30 Uhr", "am 24. Dezember ab 9 Uhr 30"),
            ("von 9:00 bis 17:00 Uhr", "von 9 Uhr bis 17 Uhr"),
            ("9:00–17:00 Uhr", "9 Uhr bis 17 Uhr"),
        ],
    );
    says("es", &[("el 24/12/2026 a las 9:30 h", "el 24 de diciembre de 2026 a las 9 y 30")]);
    says("fr", &[("le 01/05/2026 à 14:00", "le premier mai 2026 à 14 heures")]);
    says("pt", &[("em 07/09/2026 às 14:30", "em 7 de setembro de 2026 às 14 e 30")]);
}

#[test]
fn ranges_percentages_and_units() {
    says(
        "en",
        &[
            ("2-3 days, 10–20%", "2 to 3 days, 10 to 20 percent"),
            ("20 % off", "20 percent off"),
            ("5km, 1 kg and 30°C", "5 kilometres, 1 kilogram and 30 degrees Celsius"),
            ("from 2024–2026", "from 2024 to 2026"),
            ("~5 & #7", "about 5 and number 7"),
            ("No. 5. No. We are closed.", "number 5. No. We are closed."),
            (
                "version 1.2.3, A4, COVID-19, 1st, 24/7, 2-3-4",
                "version 1.2.3, A4, COVID-19, 1st, 24/7, 2-3-4",
            ),
            ("1–2–3, 4—5—6, 7–8–", "1–2–3, 4—5—6, 7 to 8–"),
            ("a 2-3-day trip for 30 people", "a 2 to 3-day trip for 30 people"),
            ("1,000,000 or 3.14", "1,000,000 or 3.14"),
        ],
    );
    says("hi", &[("10-20%", "10 से 20 प्रतिशत"), ("5 किमी", "5 किलोमीटर"), ("30°C", "30 डिग्री सेल्सियस")]);
    says("de", &[("20 %", "20 Prozent"), ("2,5 km", "2,5 Kilometer")]);
}

#[test]
fn phone_numbers_and_addresses() {
    says(
        "en",
        &[
            ("Call +919876543210.", "Call plus 9 1, 9 8 7 6 5, 4 3 2 1 0."),
            ("98765 43210", "9 8 7 6 5, 4 3 2 1 0"),
            ("(030) 123456-0", "0 3 0, 1 2 3, 4 5 6, 0"),
            ("+1 555 010 0199", "plus 1, 5 5 5, 0 1 0, 0 1 9 9"),
            ("1-800-555-0123 or 555-0123", "1, 8 0 0, 5 5 5, 0 1 2 3 or 5 5 5, 0 1 2 3"),
            ("0.123456789", "0.123456789"),
            ("Write to info@my-shop.example.com.", "Write to info at my dash shop dot example dot com."),
            ("See example.com, please.", "See example dot com, please."),
            ("Go to https://www.example.com/a?b=c.", "Go to example dot com."),
        ],
    );
    says(
        "hi",
        &[("+91 98765 43210", "प्लस 9 1, 9 8 7 6 5, 4 3 2 1 0"), ("info@shop.in", "info एट shop डॉट in")],
    );
    says("de", &[("030 1234567", "0 3 0, 1 2 3, 4 5 6 7"), ("info@laden.de", "info ät laden Punkt de")]);
}

#[test]
fn abbreviations() {
    says(
        "en",
        &[(
            "Dr. Smith takes fruit, e.g. apples etc.",
            "Doctor Smith takes fruit, for example apples et cetera.",
        )],
    );
    says("hi", &[("डॉ. शर्मा", "डॉक्टर शर्मा"), ("Dr. शर्मा", "डॉक्टर शर्मा")]);
    says(
        "de",
        &[(
            "z. B. Dr. Roth bzw. ca. 5 Personen",
            "zum Beispiel Doktor Roth beziehungsweise circa 5 Personen",
        )],
    );
    says("es", &[("La Sra. Ruiz", "La Señora Ruiz")]);
    says("fr", &[("Mme Petit et M. Grand", "Madame Petit et Monsieur Grand")]);
    says("pt", &[("O Dr. Lima", "O Doutor Lima")]);
}

#[test]
fn a_language_without_forms_loses_its_markdown_only() {
    says("xx", &[("**5 €** 👍 am 24.12.", "5 € am 24.12.")]);
}

proptest! {
    #[test]
    fn any_text_is_survived_and_stays_bounded(text in "\\PC{0,200}", tag in "(en|de|es|fr|hi|pt|xx)") {
        let said = spoken(&text, Language::of(Some(&tag)));
        prop_assert!(said.len() <= 40 * text.len() + 40, "{}", said.len());
    }

    #[test]
    fn notations_are_survived(text in "[0-9+().,:/ %€$₹£~#&@a-dRsm–—-]{0,60}", tag in "(en|de|es|fr|hi|pt)") {
        let said = spoken(&text, Language::of(Some(&tag)));
        prop_assert!(said.len() <= 40 * text.len() + 40, "{}", said.len());
    }

    #[test]
    fn no_digit_of_a_phone_number_is_lost(number in "(\\+|0)[1-9][0-9]{6,12}") {
        let said = spoken(&format!("Call {number} now."), Language::of(None));
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        prop_assert_eq!(digits(&said), digits(&number));
    }

    #[test]
    fn words_are_kept(text in "[a-zäöüé]{2,8}( [a-zäöüé]{2,8}){0,5}[.!?]", tag in "(en|de|es|fr|pt)") {
        prop_assert_eq!(spoken(&text, Language::of(Some(&tag))), text);
    }
}

//! The part of Asterisk's own documentation without which it does not start. Reading all of it takes most of a start.

/// Options of configuration whole, and of all else that is not a module its name and synopsis.
///
/// # Panics
/// When `full` is no documentation of Asterisk.
pub fn shortened(full: &str) -> String {
    let start = full.find("<docs").expect("the root element");
    let (head, mut rest) = full.split_at(start + opening_tag(&full[start..]).len());
    let mut short = head.to_owned();
    short.push('\n');
    while let Some((name, element, following)) = next_element(rest) {
        rest = following;
        match name {
            "module" => continue,
            "configInfo" => short.push_str(element),
            _ => short.push_str(&format!("{}{}</{name}>", opening_tag(element), synopsis(element))),
        }
        short.push('\n');
    }
    short + "</docs>\n"
}

/// The name of the next element of the top level, the element, and what follows it. None has another one of its name within.
fn next_element(text: &str) -> Option<(&str, &str, &str)> {
    let element = &text[text.find('<')?..];
    let name = element[1..].split(|character: char| !character.is_ascii_alphabetic()).next()?;
    let end = format!("</{name}>");
    let length = element.find(&end)? + end.len();
    let (element, following) = element.split_at(length);
    Some((name, element, following))
}

fn opening_tag(element: &str) -> &str {
    element.split_inclusive('>').next().unwrap_or_default()
}

fn synopsis(element: &str) -> &str {
    const END: &str = "</synopsis>";
    let range = element.find("<synopsis>").zip(element.find(END));
    range.map_or("", |(start, end)| &element[start..end + END.len()])
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_synopses_and_options_are_kept() {
        let full = r#"<?xml version="1.0"?>
<docs xmlns:xi="http://www.w3.org/2001/XInclude">
<module language="en_US" name="app_dial"><support_level>core</support_level></module>
	<application name="Dial" language="en_US"><since/><synopsis>Dials.</synopsis><syntax><option name="a"/></syntax></application>
<configInfo name="res_ari"><configFile name="ari.conf"><synopsis>ARI</synopsis></configFile></configInfo>
<info name="CHANNEL" tech="PJSIP"><enumlist/></info>
</docs>
"#;
        let short = r#"<?xml version="1.0"?>
<docs xmlns:xi="http://www.w3.org/2001/XInclude">
<application name="Dial" language="en_US"><synopsis>Dials.</synopsis></application>
<configInfo name="res_ari"><configFile name="ari.conf"><synopsis>ARI</synopsis></configFile></configInfo>
<info name="CHANNEL" tech="PJSIP"></info>
</docs>
"#;
        assert_eq!(super::shortened(full), short);
    }
}

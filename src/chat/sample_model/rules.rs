//! The answers of the sample model: fixed rules, chosen by words of the instruction. They know no medicine.

use serde_json::json;

/// Words for symptoms, and the names under which they are listed.
const SYMPTOMS: [(&str, &str); 14] = [
    ("fever", "fever"),
    ("temperature", "fever"),
    ("headache", "headache"),
    ("cough", "cough"),
    ("coughing", "cough"),
    ("rash", "rash"),
    ("dizzy", "dizziness"),
    ("nausea", "nausea"),
    ("vomiting", "vomiting"),
    ("tired", "fatigue"),
    ("sore throat", "sore throat"),
    ("chest pain", "chest pain"),
    ("short of breath", "shortness of breath"),
    ("swelling", "swelling"),
];

/// Words that the sample translates into German, French and Spanish; it leaves others as they are.
const WORDS: [(&str, [&str; 3]); 21] = [
    ("hello", ["hallo", "bonjour", "hola"]),
    ("thank", ["danke", "merci", "gracias"]),
    ("you", ["Sie", "vous", "usted"]),
    ("yes", ["ja", "oui", "sí"]),
    ("no", ["nein", "non", "no"]),
    ("please", ["bitte", "s'il vous plaît", "por favor"]),
    ("i", ["ich", "je", "yo"]),
    ("have", ["habe", "ai", "tengo"]),
    ("a", ["ein", "un", "un"]),
    ("and", ["und", "et", "y"]),
    ("the", ["das", "le", "el"]),
    ("pain", ["Schmerzen", "douleur", "dolor"]),
    ("fever", ["Fieber", "fièvre", "fiebre"]),
    ("cough", ["Husten", "toux", "tos"]),
    ("since", ["seit", "depuis", "desde"]),
    ("yesterday", ["gestern", "hier", "ayer"]),
    ("today", ["heute", "aujourd'hui", "hoy"]),
    ("tomorrow", ["morgen", "demain", "mañana"]),
    ("take", ["nehmen", "prenez", "tome"]),
    ("water", ["Wasser", "eau", "agua"]),
    ("doctor", ["Arzt", "médecin", "médico"]),
];

const LANGUAGES: [&str; 3] = ["German", "French", "Spanish"];

/// The answer to a prompt: the same for the same.
pub fn answer(instruction: &str, prompt: &str) -> String {
    let task = instruction.to_lowercase();
    if task.contains("symptom") {
        symptoms(prompt)
    } else if task.contains("translate") {
        let language = LANGUAGES.iter().position(|language| instruction.contains(language));
        language.map_or_else(|| prompt.to_owned(), |language| translated(prompt, language))
    } else if task.contains("summar") {
        summary(prompt)
    } else if task.contains("reply") {
        reply(prompt)
    } else {
        format!("I have read {} words.", prompt.split_whitespace().count())
    }
}

/// The symptoms that are named, each once, as JSON.
fn symptoms(prompt: &str) -> String {
    let text = prompt.to_lowercase();
    let mut names: Vec<&str> = Vec::new();
    for (word, name) in SYMPTOMS {
        if text.contains(word) && !names.contains(&name) {
            names.push(name);
        }
    }
    let since = text.split_once("since ").map(|(_, rest)| {
        let end = rest.find([',', '.', ';', '\n']).unwrap_or(rest.len());
        rest[..end].split_whitespace().take(3).collect::<Vec<&str>>().join(" ")
    });
    json!({"symptoms": names, "since": since}).to_string()
}

fn translated(prompt: &str, language: usize) -> String {
    let words = prompt.split_whitespace().map(|word| {
        let letters = word.trim_matches(|letter: char| !letter.is_alphanumeric());
        let known = WORDS.iter().find(|(english, _)| *english == letters.to_lowercase());
        known.map_or_else(|| word.to_owned(), |(_, others)| word.replace(letters, others[language]))
    });
    let text = words.collect::<Vec<String>>().join(" ");
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Lines `ROLE: TEXT`.
fn lines(transcript: &str) -> Vec<(&str, &str)> {
    transcript.lines().filter_map(|line| line.split_once(": ")).filter(|(_, text)| !text.is_empty()).collect()
}

/// The first and last words of each role.
fn summary(transcript: &str) -> String {
    let lines = lines(transcript);
    let mut roles: Vec<&str> = Vec::new();
    lines.iter().for_each(|(role, _)| {
        if !roles.contains(role) {
            roles.push(role)
        }
    });
    let said = roles.iter().map(|role| {
        let mut texts = lines.iter().filter(|(other, _)| other == role).map(|(_, text)| sentence(text));
        let (first, last) = (texts.next().unwrap_or_default(), texts.next_back());
        let last = last.map(|last| format!(" Last: {last}")).unwrap_or_default();
        format!("The {role} wrote: {first}{last}")
    });
    let said = said.collect::<Vec<String>>().join(" ");
    if said.is_empty() { "Nothing has been written yet.".to_owned() } else { said }
}

/// The first sentence of a text, with a full stop.
fn sentence(text: &str) -> String {
    let end = text.find(['.', '!', '?']).map_or(text.len(), |end| end + 1);
    let sentence = text[..end].trim();
    if sentence.ends_with(['.', '!', '?']) { sentence.to_owned() } else { format!("{sentence}.") }
}

fn reply(transcript: &str) -> String {
    let lines = lines(transcript);
    let last = lines.iter().rev().find(|(role, _)| *role == "patient").map_or("", |(_, text)| *text);
    let named: Vec<&str> = SYMPTOMS
        .iter()
        .filter(|(word, _)| last.to_lowercase().contains(word))
        .map(|(_, name)| *name)
        .collect();
    match (named.first(), last.ends_with('?')) {
        (Some(name), _) => format!(
            "I am sorry to hear about the {name}. Since when do you have it, and is it getting worse?"
        ),
        (None, true) => "Thank you for your question. Let me look into it, I will answer shortly.".to_owned(),
        (None, false) => "Thank you for telling me. Is there anything else that I should know?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_chooses_the_rule() {
        let transcript = "patient: I have fever. And more\nprovider: Since when?\npatient: since Monday\n";
        let summary = answer("Summarise the conversation.", transcript);
        assert_eq!(
            summary,
            "The patient wrote: I have fever. Last: since Monday. The provider wrote: Since when?"
        );
        let symptoms = answer("List the symptoms as JSON.", "Fever and coughing since Monday evening, tired");
        assert_eq!(symptoms, r#"{"since":"monday evening","symptoms":["fever","cough","fatigue"]}"#);
        let german = answer("Translate into German.", "Hello, I have fever since yesterday.");
        assert_eq!(german, "Hallo, ich habe Fieber seit gestern.");
        assert!(answer("Suggest a reply.", "patient: My rash is back").contains("the rash"));
        assert!(answer("Suggest a reply.", "patient: When do you open?").contains("your question"));
        assert_eq!(answer("", "a b"), "I have read 2 words.");
    }
}

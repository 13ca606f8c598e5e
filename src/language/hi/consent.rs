//! Hindi answers to the question whether a person takes a call.

use super::super::ConsentWords;

pub const CONSENT: ConsentWords = ConsentWords {
    accepting: "हाँ, हां, ठीक है, बिल्कुल, जरूर, ओके, जोडिए, जोड दीजिए, जोड दो, मिला दीजिए, मिलाइए, बात कराइए, \
        बात करा दीजिए, कनेक्ट कीजिए, कनेक्ट कर दीजिए, ले लूँगा, ले लूंगा, ले लूँगी, ले लूंगी, लेता हूँ, लेती हूँ, haan, han, \
        theek hai, thik hai, bilkul, zaroor, ok, okay, yes",
    declining: "नहीं, नही, ना, मत, अभी नहीं, बाद में, व्यस्त हूँ, समय नहीं है, nahi, nahin, abhi nahi, baad mein, no",
    neutral: "जी, ji, कृपया, धन्यवाद, शुक्रिया, हैलो, नमस्ते, अच्छा, तो, अभी, please, thanks, hello",
};

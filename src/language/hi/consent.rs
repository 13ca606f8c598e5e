//! Hindi answers to the question whether a person takes a call.

use super::super::ConsentWords;

pub const CONSENT: ConsentWords = ConsentWords {
    accepting: "हाँ, हां, ठीक है, बिल्कुल, जरूर, ओके, जोडिए, जोड दीजिए, जोड दो, मिला दीजिए, मिलाइए, बात कराइए, \
        बात करा दीजिए, कनेक्ट कीजिए, कनेक्ट कर दीजिए, ले लूँगा, ले लूंगा, ले लूँगी, ले लूंगी, लेता हूँ, लेती हूँ, haan, han, \
        theek hai, thik hai, bilkul, zaroor, ok, okay, yes",
    declining: "नहीं, नही, ना, मत, अभी नहीं, बाद में, व्यस्त हूँ, समय नहीं है, nahi, nahin, abhi nahi, baad mein, no",
    cancelling: "रद्द, रद्द करो, रद्द करें, रद्द कीजिए, रद्द कर दो, रद्द कर दीजिए, कैंसल, कैंसल करो, कैंसल कीजिए, कैंसल कर दो, \
        कैंसल कर दीजिए, कैंसिल, कैंसिल करो, कैंसिल कीजिए, कैंसिल कर दो, कैंसिल कर दीजिए, रहने दो, रहने दीजिए, छोडो, छोडिए, \
        जाने दो, जाने दीजिए, मुझे इंतजार नहीं करना, मुझे इंतजार नहीं करना है, मुझे और इंतजार नहीं करना, \
        मुझे और इंतजार नहीं करना है, मैं इंतजार नहीं करना चाहता, मैं इंतजार नहीं करना चाहती, मैं और इंतजार नहीं कर सकता, \
        मैं और इंतजार नहीं कर सकती, cancel, cancel karo, cancel kar do, cancel kar dijiye, rehne do, rehne dijiye, rahne do, \
        mujhe intezaar nahi karna, never mind",
    neutral: "जी, ji, कृपया, धन्यवाद, शुक्रिया, हैलो, नमस्ते, अच्छा, तो, अभी, please, thanks, hello",
};

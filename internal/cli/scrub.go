package cli

import "regexp"

// What looks like a secret, most telling first. The second and third are blocks
// that lost their end or their begin, as the edges of a log do.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`-----BEGIN [A-Z0-9 ]+-----[\s\S]*?-----END [A-Z0-9 ]+-----`),
	regexp.MustCompile(`-----BEGIN [A-Z0-9 ]+-----(?:(?:\s|\\n)+[A-Za-z0-9+/=]+)*`),
	regexp.MustCompile(`(?:[A-Za-z0-9+/=]+(?:\s|\\n)+)+-----END [A-Z0-9 ]+-----`),
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?`), // a JSON web token
	regexp.MustCompile(`(?i)\bbearer\s+[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`(?i)\b[\w-]*(?:token|password|passwd|passphrase|api[_-]?key)(?:=|":\s*)"?[^\s"',;&]+`),
	regexp.MustCompile(`[A-Za-z0-9+/_=-]{60,}`), // base64, and 64 hexadecimal digits
}

// digest is public: the name of an image or a layer by its content.
var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}\b`)

const removed = "[removed]"

// scrub replaces what looks like a secret in text of any kind.
func scrub(text []byte) []byte {
	var out []byte
	last := 0
	for _, at := range digest.FindAllIndex(text, -1) {
		out = append(out, scrubSpan(text[last:at[0]])...)
		out = append(out, text[at[0]:at[1]]...)
		last = at[1]
	}
	return append(out, scrubSpan(text[last:])...)
}

func scrubSpan(text []byte) []byte {
	for _, secret := range secrets {
		text = secret.ReplaceAll(text, []byte(removed))
	}
	return text
}

package delivery

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
)

// digestOf returns the OCI digest of bytes: sha256:<64 hex>.
func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// clientToken names one change: the runtime, the version it starts from and
// the body. The same change sent again makes nothing new; the way back from B
// to A starts from another version and is another change.
func clientToken(runtimeID, baseVersion string, body []byte) string {
	sum := sha256.Sum256([]byte(runtimeID + "\x00" + baseVersion + "\x00" + string(body)))
	return hex.EncodeToString(sum[:])
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

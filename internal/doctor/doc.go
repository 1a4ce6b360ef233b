// Package doctor finds what would make a delivery fail before one is begun:
// in slipway.yaml, on the machine, in GitHub and in AWS.
//
// A check is a small function over small ports. It finds something, finds
// nothing, or is skipped with the reason; none of them stops another. What a
// caller may not read is no fault of the environment: such a check is skipped
// and says which permission it lacked.
//
// It refuses to change anything: no port of it writes. It knows neither
// slipway.yaml nor a wire format: whoever asks brings both.
package doctor

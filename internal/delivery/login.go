package delivery

import "context"

// Admit logs in and checks that the credentials belong to the target's
// account: what a delivery does first, alone. It returns a *Error of
// KindAccount where they don't, else what Login returns.
func (d *Deliverer) Admit(ctx context.Context) error { return d.login(ctx) }

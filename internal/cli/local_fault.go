package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/sim"
)

type faultDocument struct {
	Schema string      `json:"schema"` // slipway.local-fault/v1
	Faults []sim.Fault `json:"faults"`
}

const faultSchema = "slipway.local-fault/v1"

func (a *app) localFault(dir func() string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "fault", Short: "Let calls to the cloud go wrong: errors, delays, lost answers, stuck states",
		Long: "Lets calls to the cloud go wrong, by service, operation and count. Faults are kept\n" +
			"until they are cleared, until reset, or until the cloud ends.",
		Example: `  slipway local fault add bedrock-agentcore:UpdateAgentRuntime --error ThrottlingException --times 3
  slipway local fault list
  slipway local fault clear`,
	}
	cmd.AddCommand(a.faultAdd(dir), a.faultList(dir), a.faultClear(dir))
	return cmd
}

// faultFlags are what a fault does, as flags: one of them is given.
type faultFlags struct {
	sim.Fault
	latency                                time.Duration
	hang, hold, lost, drop, cut, corrupted bool
}

func (a *app) faultAdd(dir func() string) *cobra.Command {
	var f faultFlags
	cmd := &cobra.Command{
		Use: "add SERVICE:OPERATION EFFECT", Args: cobra.ExactArgs(1),
		Short: "Set a fault; services and operations have the journal's names, * is any",
		Example: `  slipway local fault add '*:*' --latency 30ms
  slipway local fault add ssm:PutParameter --resource /dev/release --error ThrottlingException
  slipway local fault add bedrock-agentcore:UpdateAgentRuntime --lost --times 1
  slipway local fault add bedrock-agentcore:UpdateAgentRuntime --stuck UPDATE_FAILED --message 'no capacity'
  slipway local fault add registry:GetBlob --corrupt --skip 1 --times 1
  slipway local fault add sts:AssumeRoleWithWebIdentity --hang`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var ok bool
			if f.Service, f.Operation, ok = strings.Cut(args[0], ":"); !ok {
				return &delivery.Error{Kind: delivery.KindUsage, Err: fmt.Errorf("%q is not SERVICE:OPERATION, such as ssm:PutParameter or '*:*'", args[0])}
			}
			if err := f.check(cmd); err != nil {
				return err
			}
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			var set sim.Fault
			if err := c.call(cmd.Context(), http.MethodPost, "faults", f.fault(), &set); err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Err: err}
			}
			return a.printFaults([]sim.Fault{set})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Code, "error", "", "answer with this error code of the service")
	flags.IntVar(&f.Status, "status", 0, "HTTP status of --error; default: what the code comes with")
	flags.StringVar(&f.Message, "message", "", "message of --error, reason of --stuck UPDATE_FAILED")
	flags.DurationVar(&f.latency, "latency", 0, "answer so much later")
	flags.BoolVar(&f.hang, "hang", false, "hold the call until its client goes or the fault is cleared")
	flags.BoolVar(&f.hold, "hold", false, "perform it, then keep its client waiting until that goes or the fault is cleared; it gets no answer")
	flags.BoolVar(&f.lost, "lost", false, "perform it, then close the connection without an answer")
	flags.BoolVar(&f.drop, "drop", false, "close the connection before it is performed")
	flags.BoolVar(&f.cut, "truncate", false, "perform it, then cut the answer half-way; an upload is cut itself")
	flags.BoolVar(&f.corrupted, "corrupt", false, "change a byte of a blob or manifest (registry alone)")
	flags.StringVar(&f.State, "stuck", "", "status that the runtime or endpoint gets and keeps: UPDATING, UPDATE_FAILED, any")
	flags.StringVar(&f.Resource, "resource", "", "only calls that name this: part of a parameter, repository, runtime ...")
	flags.IntVar(&f.Skip, "skip", 0, "let so many calls through first")
	flags.IntVar(&f.Times, "times", 0, "befall so many calls; 0: all until cleared")
	effects := []string{"error", "latency", "hang", "hold", "lost", "drop", "truncate", "corrupt", "stuck"}
	cmd.MarkFlagsOneRequired(effects...)
	cmd.MarkFlagsMutuallyExclusive(effects...)
	return cmd
}

// check refuses what the chosen effect would not heed.
func (f *faultFlags) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case given("status") && !given("error"):
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--status belongs to --error: no other effect answers with it"),
			Hints: []string{"--error CODE --status " + strconv.Itoa(f.Status)}}
	case given("message") && !given("error") && (!given("stuck") || !strings.HasSuffix(f.State, "_FAILED")):
		return &delivery.Error{Kind: delivery.KindUsage, Err: errors.New("--message belongs to --error, and to --stuck of a status that has failed: nothing else shows it"),
			Hints: []string{"--error CODE --message TEXT, or --stuck UPDATE_FAILED --message REASON"}}
	}
	return nil
}

// fault is what the flags say.
func (f *faultFlags) fault() sim.Fault {
	out := f.Fault
	for effect, given := range map[string]bool{
		sim.EffectError: f.Code != "", sim.EffectLatency: f.latency != 0, sim.EffectHang: f.hang, sim.EffectHold: f.hold, sim.EffectLost: f.lost,
		sim.EffectDrop: f.drop, sim.EffectTruncate: f.cut, sim.EffectCorrupt: f.corrupted, sim.EffectStuck: f.State != "",
	} {
		if given {
			out.Effect = effect
		}
	}
	out.Latency = f.latency.Milliseconds()
	return out
}

func (a *app) faultList(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "The faults that are set, and how many calls they have befallen", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			var answer struct{ Faults []sim.Fault }
			if err := c.call(cmd.Context(), http.MethodGet, "faults", nil, &answer); err != nil {
				return err
			}
			return a.printFaults(answer.Faults)
		},
	}
}

func (a *app) faultClear(dir func() string) *cobra.Command {
	return &cobra.Command{
		Use: "clear [ID]...", Short: "Take faults back, all of them without an ID; what hangs or is stuck goes on",
		Example: `  slipway local fault clear
  slipway local fault clear f2`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			c, err := dial(cmd.Context(), dir())
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				ids = []string{""}
			}
			var failures []error
			for _, id := range ids {
				failures = append(failures, c.call(cmd.Context(), http.MethodDelete, "faults?id="+url.QueryEscape(id), nil, nil))
			}
			if err := errors.Join(failures...); err != nil {
				return &delivery.Error{Kind: delivery.KindUsage, Err: err}
			}
			return nil
		},
	}
}

func (a *app) printFaults(list []sim.Fault) error {
	if a.json() {
		return a.ui.document(faultDocument{faultSchema, list})
	}
	for _, f := range list {
		a.ui.result("%s", faultLine(f))
	}
	return nil
}

// faultLine says in a line what a fault does, to what, and how often it has.
func faultLine(f sim.Fault) string {
	what := f.Effect
	switch f.Effect {
	case sim.EffectError:
		what = fmt.Sprintf("error %d %s", f.Status, f.Code)
	case sim.EffectLatency:
		what += " " + (time.Duration(f.Latency) * time.Millisecond).String()
	case sim.EffectStuck:
		what += " " + f.State
	}
	line := fmt.Sprintf("%s  %s:%s  %s", f.ID, f.Service, f.Operation, what)
	if f.Resource != "" {
		line += "  of " + f.Resource
	}
	if f.Skip > 0 {
		line += fmt.Sprintf("  after %d", f.Skip)
	}
	if f.Times > 0 {
		return line + fmt.Sprintf("  %d of %d calls", f.Hits, f.Times)
	}
	return line + fmt.Sprintf("  %d calls", f.Hits)
}

package sim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Workflows are the files that runs say they are of.

// workflowID is that of a workflow's file.
func workflowID(r Repository, file string) string { return derivedID(r.ID + file) }

// workflows are those of a repository's runs, oldest first: a run of each. The
// caller holds identity.mu.
func (k *githubCall) workflows() []githubRun {
	var all []githubRun
	for _, key := range k.cloud.store.keys(workflowRunRecord) {
		var run githubRun
		known := func(r githubRun) bool { return r.Common.WorkflowFile == run.Common.WorkflowFile }
		if k.cloud.store.get(key, &run) && k.owns(run) && !slices.ContainsFunc(all, known) {
			all = append(all, run)
		}
	}
	return all
}

func (r githubRun) workflowView(k *githubCall) map[string]any {
	id, site := workflowID(k.repo, r.Common.WorkflowFile), "https://github.com/"+k.repo.FullName()
	return map[string]any{"id": decimalID(id), "node_id": "W_" + id, "name": r.Common.Workflow, "path": r.Common.WorkflowFile, "state": "active",
		"created_at": r.Created.Format(time.RFC3339), "updated_at": r.Created.Format(time.RFC3339),
		"url":      k.address("/repos/" + k.repo.FullName() + "/actions/workflows/" + id),
		"html_url": site + "/blob/" + or(k.repo.DefaultBranch, "main") + "/" + r.Common.WorkflowFile, "badge_url": site + "/workflows/" + r.Common.Workflow + "/badge.svg"}
}

func listWorkflows(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	all := []map[string]any{}
	for _, run := range k.workflows() {
		all = append(all, run.workflowView(k))
	}
	return http.StatusOK, paged(k, all, mostPerPage, counted("workflows")), nil
}

// getWorkflow finds one by its id, or by the name of its file.
func getWorkflow(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	for _, run := range k.workflows() {
		file := run.Common.WorkflowFile
		if k.names["workflow_id"] == workflowID(k.repo, file) || k.names["workflow_id"] == file[strings.LastIndexByte(file, '/')+1:] {
			return http.StatusOK, run.workflowView(k), nil
		}
	}
	return 0, nil, githubFault(http.StatusNotFound, "Not Found")
}

// listArtifacts answers that a run has none: nothing here takes them.
func listArtifacts(k *githubCall) (int, any, error) {
	k.cloud.identity.mu.Lock()
	defer k.cloud.identity.mu.Unlock()
	if _, err := k.workflowRun(); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, paged(k, []map[string]any{}, mostPerPage, counted("artifacts")), nil
}

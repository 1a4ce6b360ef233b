package sim

// Placeholders until each service's file lands; the owner of a service deletes its lines here.

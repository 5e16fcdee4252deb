package auditlog

// NamesFiles is namesFiles, for tests.
var NamesFiles = namesFiles

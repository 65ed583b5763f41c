package conformance

// ProviderJSON is what tests of this package's users need of a vector.
var ProviderJSON = Vector.providerJSON

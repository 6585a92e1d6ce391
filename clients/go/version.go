package tokend

// version is that of this module.
const version = "0.1.0"

module tokend.internal/bench/load

go 1.24

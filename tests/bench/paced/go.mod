module tokend.internal/bench/paced

go 1.24

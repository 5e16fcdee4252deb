package distill

func setWideSwaps(wide bool) { wideSwaps = wide }

# Right digits of NIST's reference regressions by R's lm(): Rscript benchmarks/accuracy/nist.R > benchmarks/accuracy/results/r.csv
#
# Data and certified values are those of nist.json, read with no package but base and stats.  "R lm" is as it comes,
# tol = 1e-7, which sets columns aside that it takes for aliased; "R lm, tol = 1e-10" is what R's own
# developers advise for Filip (https://stat.ethz.ch/pipermail/r-devel/2006-July/038669.html).
lines <- readLines("benchmarks/accuracy/nist.json")
field <- function(line, name) {
  found <- regmatches(line, regexpr(paste0("\"", name, "\": (\\[.*?\\]|[^,}]*)(?=, \"[a-z]|})"), line, perl = TRUE))
  sub(paste0("\"", name, "\": "), "", found)
}
numbers <- function(text) as.numeric(regmatches(text, gregexpr("-?[0-9]*\\.?[0-9]+(?:E[-+]?[0-9]+)?", text, perl = TRUE))[[1]])
digits <- function(found, certified) {
  error <- abs(found - certified) / ifelse(certified == 0, 1, abs(certified))
  max(0, min(15, -log10(ifelse(is.na(error), 1, error))))
}
cat("data,what,package,digits\n")
for (line in lines[grepl("degree", lines)]) {
  name <- sub("^ \"([a-z0-9]+)\".*", "\\1", line)
  degree <- as.integer(field(line, "degree"))
  intercept <- field(line, "intercept") == "true"
  y <- numbers(field(line, "y"))
  x <- matrix(numbers(sub(".*\"x\": (.*), \"coef\".*", "\\1", line)), nrow = length(y), byrow = TRUE)
  if (degree > 0) x <- outer(x[, 1], seq_len(degree), "^")
  certified <- list(coef = numbers(field(line, "coef")), std_err = numbers(field(line, "std_err")))
  for (tol in c(1e-7, 1e-10)) {
    fit <- if (intercept) lm(y ~ x, tol = tol) else lm(y ~ x - 1, tol = tol)
    found <- list(coef = unname(coef(fit)), std_err = unname(sqrt(diag(vcov(fit)))))
    package <- paste("R", getRversion(), if (tol == 1e-7) "lm" else "lm, tol=1e-10")
    for (what in names(found)) {
      cat(sprintf("%s,%s,\"%s\",%.2f\n", name, what, package, digits(found[[what]], certified[[what]])))
    }
  }
}

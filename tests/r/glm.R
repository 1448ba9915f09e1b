# Negative binomial models by MASS, and gaussian models of which one level has y at the end of the link's range, by R:
# Rscript tests/r/glm.R (from the repository).  Figures are in long form: model, figure, row, column, value.
suppressMessages(library(MASS))
rows <- list()
keep <- function(model, figure, values) {
  values <- as.matrix(values)
  rows[[length(rows) + 1]] <<- data.frame(model = model, figure = figure, row = c(row(values)) - 1,
    column = c(col(values)) - 1, value = sprintf("%.17g", c(values)))
}
exact <- glm.control(epsilon = 1e-14, maxit = 500)
write.csv(quine, "tests/r/quine.csv", row.names = FALSE, quote = FALSE)
data <- read.csv("tests/r/data.csv", strip.white = TRUE)
models <- list(
  "quine" = glm.nb(Days ~ Sex / (Age + Eth * Lrn), quine, control = exact),
  "quine-additive" = glm.nb(Days ~ Eth + Sex + Age + Lrn, quine, control = exact),
  "counts" = glm.nb(count ~ x + z, data, control = exact))
for (name in names(models)) {
  fit <- models[[name]]
  keep(name, "coef", coef(fit)[!is.na(coef(fit))])
  keep(name, "se", coef(summary(fit))[, 2])
  keep(name, "theta", c(fit$theta, fit$SE.theta))
  keep(name, "AIC", AIC(fit))
  keep(name, "loglik", logLik(fit))
  keep(name, "fitted", fitted(fit))
}
data$low <- data$site <= 4
for (link in c("log", "logit")) for (value in if (link == "log") 0 else c(0, 1)) {
  mean <- if (link == "log") exp(0.3 + 0.3 * data$x) else plogis(-0.2 + 0.4 * data$x)
  data$y <- ifelse(data$low, value, mean + 0.1 * (data$normal - 0.3 - 0.4 * data$x + 0.3 * data$z))
  start <- c(if (link == "log") 0.3 else -0.2, if (value == 0) -1 else 1, 0.3)
  fit <- suppressWarnings(glm(y ~ low + x, gaussian(make.link(link)), data, start = start,
    control = glm.control(epsilon = 1e-15, maxit = 60)))
  name <- paste("separated", link, value, sep = "-")
  keep(name, "y", data$y)
  keep(name, "coef", coef(fit))
  keep(name, "se", coef(summary(fit))[, 2])
  keep(name, "farthest", max(abs(fitted(fit)[data$low] - value)))
  keep(name, "deviance", fit$deviance)
}
# A level of which all y are beyond the end of the link's range has no finite coefficient; one of tiny y has.
ends <- list(
  "separated-gamma" = list(family = Gamma(make.link("logit")), value = 1.5, start = c(-0.2, 1, 0.3)),
  "separated-quasi" = list(family = quasi("log", "mu^2"), value = 0, start = c(0.3, -1, 0.3)),
  "tiny-gamma" = list(family = Gamma("log"), value = 1e-8, start = c(0.3, -1, 0.3)))
for (name in names(ends)) {
  with(ends[[name]], {
    mean <- family$linkinv(start[1] + 0.3 * data$x)
    data$y <- ifelse(data$low, value, mean * exp(0.2 * (data$normal - 0.3 - 0.4 * data$x + 0.3 * data$z)))
    fit <- suppressWarnings(glm(y ~ low + x, family, data, start = start, control = glm.control(epsilon = 1e-15, maxit = 60)))
    keep(name, "y", data$y)
    keep(name, "coef", coef(fit))
    keep(name, "se", coef(summary(fit))[, 2])
    keep(name, "farthest", max(abs(fitted(fit)[data$low] - value)))
    keep(name, "deviance", fit$deviance)
  })
}
write.csv(do.call(rbind, rows), "tests/r/glm.csv", row.names = FALSE, quote = FALSE)

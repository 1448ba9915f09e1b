# Covariances and t tables by R, and the data that they are of: Rscript tests/r/covariances.R (from the repository).
# Needs the packages sandwich, clubSandwich and car.  Figures are in long form: model, figure, row, column, value.
suppressMessages({library(sandwich); library(clubSandwich); library(car)})
RNGversion("4.0.0"); set.seed(25)
sizes <- c(3, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 20)
site <- rep(seq_along(sizes), sizes)
n <- length(site)
day <- sample(1:8, n, replace = TRUE)
x <- rnorm(n) + rep(rnorm(length(sizes)) / 2, sizes)
z <- rep(rnorm(length(sizes)), sizes)
eta <- 0.3 + 0.4 * x - 0.3 * z + rep(rnorm(length(sizes)) / 2, sizes)
data <- data.frame(site, day, x, z,
  w = round(runif(n, 0.5, 3), 3),
  trials = sample(2:9, n, replace = TRUE),
  normal = eta + rnorm(n), count = rpois(n, exp(eta)), event = rbinom(n, 1, plogis(eta)),
  positive = rgamma(n, 3, rate = 3 / exp(eta)))
data$share <- rbinom(n, data$trials, plogis(eta)) / data$trials
data$zero <- ifelse(runif(n) < 0.1, 0, data$positive)
write.csv(format(data, digits = 17), "tests/r/data.csv", row.names = FALSE, quote = FALSE)

models <- list(
  "gaussian" = glm(normal ~ x + z, gaussian, data),
  "poisson" = glm(count ~ x + z, poisson, data),
  "binomial" = glm(event ~ x + z, binomial, data),
  "trials" = glm(share ~ x + z, binomial, data, weights = trials),
  "probit" = glm(event ~ x + z, binomial("probit"), data),
  "gamma-inverse" = glm(positive ~ x, Gamma("inverse"), data, start = c(0.8, -0.1)),
  "gamma-log" = glm(positive ~ x + z, Gamma("log"), data, weights = w),
  "inverse-gaussian" = glm(positive ~ x + z, inverse.gaussian("log"), data),
  "quasipoisson" = glm(count ~ x + z, quasipoisson, data),
  "quasibinomial" = glm(share ~ x + z, quasibinomial, data, weights = trials),
  "quasi-constant" = glm(normal ~ x + z, quasi, data),
  "quasi-mu" = glm(count ~ x + z, quasi("log", "mu"), data),
  "quasi-mu(1-mu)" = glm(share ~ x + z, quasi("probit", "mu(1-mu)"), data),
  "quasi-mu^2" = glm(zero ~ x + z, quasi("log", "mu^2"), data),
  "quasi-mu^3" = glm(positive ~ x + z, quasi("log", "mu^3"), data))

rows <- list()
keep <- function(model, figure, values) {
  values <- as.matrix(values)
  rows[[length(rows) + 1]] <<- data.frame(model = model, figure = figure, row = c(row(values)) - 1,
    column = c(col(values)) - 1, value = sprintf("%.17g", c(values)))
}
for (name in names(models)) {
  fit <- update(models[[name]], control = glm.control(epsilon = 1e-15, maxit = 200))
  keep(name, "table", coef(summary(fit)))
  keep(name, "dispersion", summary(fit)$dispersion)
  keep(name, "deviance", c(fit$deviance, fit$null.deviance))
  keep(name, "interval", confint.default(fit))
  keep(name, "drop1", as.matrix(drop1(fit, test = if (summary(fit)$dispersion == 1) "Chisq" else "F"))[-1, , drop = FALSE])
  for (type in c("HC0", "HC1", "HC2", "HC3")) keep(name, type, vcovHC(fit, type = type))
  keep(name, "cluster", vcovCL(fit, cluster = data$site, type = "HC1"))
  keep(name, "two-way", vcovCL(fit, cluster = data[c("site", "day")], type = "HC1"))
  if (name %in% c("gaussian", "poisson", "binomial", "trials"))
    keep(name, "CR3", vcovCR(fit, cluster = data$site, type = "CR3"))
}
collinear <- glm(count ~ x + z + factor(trials), poisson, data, control = glm.control(epsilon = 1e-15))
keep("factor", "vif", vif(collinear))
keep("gamma-log", "vif", vif(models[["gamma-log"]]))
write.csv(do.call(rbind, rows), "tests/r/figures.csv", row.names = FALSE, quote = FALSE)

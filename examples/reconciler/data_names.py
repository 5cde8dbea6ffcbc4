"""Names, accounts and texts from which the generator draws.

Promises: every IBAN has correct check digits; all companies are invented.
"""

import random
import unicodedata

OWN_ACCOUNTS = (("EUR", 55), ("USD", 20), ("GBP", 15), ("JPY", 10))

COMPANIES = (
    "Brauer Logistik GmbH",
    "Čapek Strojírny s.r.o.",
    "Harrow & Pine Ltd",
    "Société Lumière du Nord SARL",
    "Kühn & Söhne Metallbau KG",
    "Ørsted Vindteknik A/S",
    "Łukasz Budownictwo Sp. z o.o.",
    "Nakamura Precision K.K.",
    "Aldgate Office Supplies Ltd",
    "Bergström Papper AB",
    "Castillo Hermanos S.L.",
    "De Vries Koeltechniek B.V.",
    "Elbe Reederei GmbH",
    "Fontana Ceramiche S.p.A.",
    "Greenfield Analytics Inc.",
    "Hölzl Sägewerk GmbH",
    "Ibérica de Envases S.A.",
    "Juniper Street Media LLC",
    "Kestrel Aviation Parts Ltd",
    "Lindqvist Elektronik AB",
    "Moreau Vins & Spiritueux SAS",
    "Novák a syn a.s.",
    "O'Rourke Haulage Ltd",
    "Pettersen Fiskeri AS",
    "Quintana Textil S.A.",
    "Rheingold Druckerei GmbH",
    "Saitō Trading Co., Ltd.",
    "Tamm Puit OÜ",
    "Umbria Olio S.r.l.",
    "Van den Berg Bloemen B.V.",
    "Weißmann Medizintechnik AG",
    "Şahin Tekstil A.Ş.",
    "Zeller Uhrenfabrik AG",
    "Atlas Facility Services plc",
    "Bluewater Desalination Inc.",
    "Corvin Könyvkiadó Kft.",
)

CHARGE_TEXTS = (
    "ACCOUNT MAINTENANCE FEE",
    "CARD SETTLEMENT TERMINAL 4711",
    "CREDIT INTEREST",
    "RETURNED DIRECT DEBIT",
    "FOREIGN TRANSFER COMMISSION",
)

PLAIN_TEXTS = ("THANK YOU", "MONTHLY SETTLEMENT", "AS AGREED", "ON ACCOUNT", "")


def german_iban(rng: random.Random) -> str:
    """A German IBAN of random digits with correct check digits."""
    account_number = "".join(str(rng.randrange(10)) for _ in range(18))
    remainder = int(account_number + "131400") % 97
    return f"DE{98 - remainder:02d}{account_number}"


def as_bank_prints(name: str) -> str:
    """Upper case without accents, the way many statements show a name."""
    decomposed = unicodedata.normalize("NFKD", name.upper())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def as_payer_types(reference: str, rng: random.Random) -> str:
    """A reference inside the free text of a transfer, in one of its usual spellings."""
    variants = (reference, reference.replace("-", " "), reference.replace("-", "/"))
    frames = ("{}", "Invoice {}", "RE {} THANK YOU", "{} less nothing", "Your ref {}, our 77")
    return rng.choice(frames).format(rng.choice((*variants, reference.lower())))

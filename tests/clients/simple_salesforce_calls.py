"""simple-salesforce against the sandbox. SALESFORCE_URL and TOKEN say where; the test says what each call must see."""

import json
import os
from datetime import datetime, timedelta, timezone

import requests
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceError


class ToSandbox(requests.adapters.HTTPAdapter):
    """The client knows https only: what it sends to its instance goes to the sandbox."""

    def send(self, request, *args, **kwargs):
        request.url = request.url.replace("https://org.test", os.environ["SALESFORCE_URL"], 1)
        return super().send(request, *args, **kwargs)


session = requests.Session()
session.trust_env = False
session.mount("https://org.test", ToSandbox())
sf = Salesforce(instance="org.test", session_id=os.environ["TOKEN"], session=session, version="60.0")


def call(name, make):
    try:
        saw = make()
    except SalesforceError as error:
        saw = {"refused": [error.status, error.content[0]["errorCode"]]}
    except Exception as error:  # noqa: BLE001: whatever it is, the line must show it
        saw = {"refused": repr(error)}
    print(json.dumps({"call": name, "saw": saw}))


def names(answer):
    return [row["LastName"] for row in answer["records"]]


made = {}


def create():
    made.update(sf.Contact.create({"LastName": "Holt", "Email": "holt@x.example"}))
    return made["success"]


call("create", create)
call("create without a required field", lambda: sf.Contact.create({"FirstName": "A"}))
call("get", lambda: sf.Contact.get(made["id"])["LastName"])
call("update", lambda: sf.Contact.update(made["id"], {"Title": "CFO"}))
call("upsert", lambda: sf.Touchpoints__c.upsert("External_Id__c/E-1", {"Channel__c": "web"}))
call("get by external id", lambda: sf.Touchpoints__c.get_by_custom_id("External_Id__c", "E-1")["Channel__c"])
call("too long", lambda: sf.Contact.create({"LastName": "x" * 81}))
call("describe", lambda: sf.Contact.describe()["name"])
call("describe all", lambda: sf.describe()["maxBatchSize"])
call("metadata", lambda: sf.Contact.metadata()["objectDescribe"]["name"])
call("limits", lambda: list(sf.limits()))


def many():
    rows = [{"attributes": {"type": "Lead"}, "LastName": f"L{i:04}", "Company": "X"} for i in range(2100)]
    good = 0
    for at in range(0, len(rows), 200):
        body = {"allOrNone": False, "records": rows[at : at + 200]}
        good += sum(r["success"] for r in sf.restful("composite/sobjects", method="POST", json=body))
    return good


call("make 2,100 leads", many)
call("query", lambda: sf.query("SELECT LastName FROM Contact ORDER BY LastName DESC LIMIT 1")["records"][0]["LastName"])


def pages():
    first = sf.query("SELECT LastName FROM Lead ORDER BY LastName DESC")
    second = sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    return [len(first["records"]), first["done"], names(first)[0], len(second["records"]), second["done"], names(second)[-1]]


call("two pages", pages)
call("all pages", lambda: len(sf.query_all("SELECT Id FROM Lead")["records"]))
call(
    "pages of 200",
    lambda: len(sf.query("SELECT Id FROM Lead", headers={"Sforce-Query-Options": "batchSize=200"})["records"]),
)
call("like is refused", lambda: sf.query("SELECT Id FROM Lead WHERE LastName LIKE 'L%'"))
call("an unknown parameter is refused", lambda: sf.restful("query", params={"q": "SELECT Id FROM Lead", "explain": "x"}))
hour = timedelta(hours=1)
now = datetime.now(timezone.utc)
call("what was updated", lambda: sf.Contact.updated(now - hour, now + hour)["ids"] == [made["id"]])
call("delete", lambda: sf.Contact.delete(made["id"]))
call("what was deleted", lambda: [r["id"] == made["id"] for r in sf.Contact.deleted(now - hour, now + hour)["deletedRecords"]])
call("get what is deleted", lambda: sf.Contact.get(made["id"]))
call("query all sees it", lambda: sf.query(f"SELECT Id FROM Contact WHERE Id = '{made['id']}'", include_deleted=True)["totalSize"])
call("layouts are not simulated", lambda: sf.restful("sobjects/Contact/describe/layouts"))
call("search is not simulated", lambda: sf.search("FIND {Holt}"))
call("tooling is not simulated", lambda: sf.toolingexecute("query/?q=SELECT+Id+FROM+ApexClass"))

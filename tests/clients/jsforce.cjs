// jsforce against the sandbox. SALESFORCE_URL and TOKEN say where; the test says what each call must see.
const jsforce = require('jsforce');
const { table } = require('./table.cjs');

const { SALESFORCE_URL, TOKEN } = process.env;
const conn = new jsforce.Connection({ instanceUrl: SALESFORCE_URL, accessToken: TOKEN, version: '60.0' });
const call = table((error) => error.errorCode);
const names = (rows) => rows.map((row) => row.LastName);

async function main() {
  let id;
  await call('create', async () => {
    const made = await conn.sobject('Contact').create({ LastName: 'Holt', Email: 'holt@x.example' });
    id = made.id;
    return [made.success, id.length];
  });
  await call('create without a required field', () => conn.sobject('Contact').create({ FirstName: 'A' }));
  await call('create with an unknown field', () => conn.sobject('Contact').create({ LastName: 'A', Nope__c: 1 }));
  await call('retrieve', async () => (await conn.sobject('Contact').retrieve(id)).LastName);
  await call('update', async () => (await conn.sobject('Contact').update({ Id: id, Title: 'CFO' })).success);
  await call('upsert twice', async () => {
    const upsert = () => conn.sobject('Touchpoints__c').upsert({ External_Id__c: 'E-1', Channel__c: 'web' }, 'External_Id__c');
    return [(await upsert()).created, (await upsert()).created];
  });
  await call('create several', async () => {
    const rows = ['Berg', 'adler', 'Cole'].map((LastName, i) => ({ LastName, Title: i ? 'T' : null }));
    return (await conn.sobject('Contact').create(rows)).map((result) => result.success);
  });
  await call('all or none', async () => {
    const rows = [{ LastName: 'X' }, { FirstName: 'Y' }];
    return (await conn.sobject('Contact').create(rows, { allOrNone: true })).map((result) => result.errors[0].statusCode);
  });
  await call('ordered', async () => names(await conn.sobject('Contact').find({}, 'LastName').sort({ LastName: 1 })));
  await call('ordered descending, two of them', async () =>
    names(await conn.sobject('Contact').find({}, 'LastName').sort({ LastName: -1 }).limit(2)));
  await call('ordered, from the second', async () =>
    names(await conn.sobject('Contact').find({}, 'LastName').sort({ LastName: 1 }).skip(1).limit(1)));
  await call('ordered with nulls last', async () =>
    names((await conn.query('SELECT LastName FROM Contact ORDER BY Title DESC NULLS LAST, LastName')).records));
  await call('a list of values', async () =>
    names(await conn.sobject('Contact').find({ LastName: ['Cole', 'Holt'] }, 'LastName')));
  await call('more than', async () => names(await conn.sobject('Contact').find({ LastName: { $gt: 'C' } }, 'LastName')));
  await call('like is refused', () => conn.sobject('Contact').find({ LastName: { $like: 'H%' } }));
  await call('or is refused', () => conn.query("SELECT Id FROM Contact WHERE LastName = 'A' OR LastName = 'B'"));
  await call('a relative date is refused', () => conn.query('SELECT Id FROM Contact WHERE CreatedDate = TODAY'));
  await call('group by is refused', () => conn.query('SELECT LastName FROM Contact GROUP BY LastName'));
  await call('an unknown field is refused', () => conn.query('SELECT Id FROM Contact ORDER BY Nope'));
  await call('count', () => conn.sobject('Contact').count());

  await call('make 2,100 leads', async () => {
    const rows = Array.from({ length: 2100 }, (_, i) => ({ LastName: `L${String(i).padStart(4, '0')}`, Company: 'X' }));
    const made = await conn.sobject('Lead').create(rows, { allowRecursive: true });
    return made.filter((result) => result.success).length;
  });
  await call('the first page of 2,100', async () => {
    const page = await conn.query('SELECT Id FROM Lead');
    return [page.totalSize, page.done, page.records.length, typeof page.nextRecordsUrl];
  });
  await call('the page after it', async () => {
    const page = await conn.query('SELECT LastName FROM Lead ORDER BY LastName DESC');
    const next = await conn.queryMore(page.nextRecordsUrl);
    return [next.totalSize, next.done, next.records.length, next.records[99].LastName];
  });
  await call('pages by themselves', async () =>
    (await conn.query('SELECT Id FROM Lead', { autoFetch: true, maxFetch: 5000 })).records.length);
  await call('pages of 500', async () => {
    const page = await conn.query('SELECT Id FROM Lead LIMIT 700', { headers: { 'Sforce-Query-Options': 'batchSize=500' } });
    const next = await conn.queryMore(page.nextRecordsUrl);
    return [page.records.length, next.records.length, next.done];
  });
  await call('an unknown locator', () => conn.queryMore('/services/data/v60.0/query/01g000000000000AAA-2000'));

  await call('describe', async () => {
    const lastName = (await conn.sobject('Contact').describe()).fields.find((field) => field.name === 'LastName');
    return [lastName.label, lastName.nillable];
  });
  await call('describe all', async () => (await conn.describeGlobal()).sobjects.some((object) => object.name === 'Lead'));
  await call('limits', async () => Object.keys(await conn.limits()));
  const [since, until] = [new Date(Date.now() - 3600e3), new Date(Date.now() + 3600e3)];
  await call('what was updated', async () => (await conn.sobject('Contact').updated(since, until)).ids.length);
  await call('delete', async () => (await conn.sobject('Contact').destroy(id)).success);
  await call('what was deleted', async () =>
    (await conn.sobject('Contact').deleted(since, until)).deletedRecords.map((record) => record.id === id));
  await call('retrieve what is deleted', () => conn.sobject('Contact').retrieve(id));
  await call('query all sees it', async () => (await conn.query(`SELECT Id FROM Contact WHERE Id = '${id}'`, { scanAll: true })).totalSize);
  await call('layouts are not simulated', () => conn.sobject('Contact').layouts());
  await call('recent is not simulated', () => conn.recent());
  await call('tooling is not simulated', () => conn.tooling.query('SELECT Id FROM ApexClass'));
  await call('search is not simulated', () => conn.search('FIND {Holt}'));
  await call('bulk 2 is not simulated', () => conn.bulk2.loadAndWaitForResults({ object: 'Contact', operation: 'insert', input: [{ LastName: 'A' }] }));
  await call('bulk 1 is not simulated', async () => {
    const job = conn.bulk.createJob('Contact', 'insert');
    job.on('error', () => {});
    return await job.open();
  });

  await call('refresh the token by itself', async () => {
    const oauth2 = { clientId: 'id', clientSecret: 'secret', loginUrl: SALESFORCE_URL, tokenServiceUrl: `${SALESFORCE_URL}/services/oauth2/token` };
    const other = new jsforce.Connection({ oauth2, instanceUrl: SALESFORCE_URL, accessToken: 'expired', refreshToken: 'test-refresh-acme', version: '60.0' });
    return (await other.query('SELECT COUNT() FROM Contact')).totalSize;
  });
}

main();
